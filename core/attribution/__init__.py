"""Attribution methods, one file a method, and the result they share."""

from .attribution import Attribution
from .cam import cam
from .gradient import gradient, gradient_x_input
from .influence import influence
from .integrated_gradients import integrated_gradients
from .occlusion import occlusion
from .smoothgrad import smoothgrad

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
