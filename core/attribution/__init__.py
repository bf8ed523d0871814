"""Attribution methods, one file a method, and the result they share."""

from core.attribution.cam import cam
from core.attribution.gradient import gradient, gradient_x_input
from core.attribution.influence import influence
from core.attribution.integrated_gradients import integrated_gradients
from core.attribution.occlusion import occlusion
from core.attribution.result import Attribution
from core.attribution.smoothgrad import smoothgrad

__all__ = [
    "Attribution",
    "cam",
    "gradient",
    "gradient_x_input",
    "influence",
    "integrated_gradients",
    "occlusion",
    "smoothgrad",
]
