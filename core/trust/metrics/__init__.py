"""The metrics, one file per metric or per thing that several of them are read off.

Every file of this folder is imported, so that a metric registers itself; those named here come first in their category.
"""

from importlib import import_module
from pkgutil import iter_modules

# isort: off
from . import removal_curves, road, random_removals, localisation  # noqa: F401

# isort: on

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
