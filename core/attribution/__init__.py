"""Attribution methods, one file per method, and the result they share.

Every file of this folder is imported, so that a method registers itself; those named here come first in `METHODS`.
"""

from importlib import import_module
from pkgutil import walk_packages

# isort: off
from .attribution import Attribution
from .gradient import gradient, gradient_x_input
from .smoothgrad import smoothgrad
from .integrated_gradients import integrated_gradients
from .occlusion import occlusion
from .cam import cam
from .influence import influence
# isort: on

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

for _module in walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)
