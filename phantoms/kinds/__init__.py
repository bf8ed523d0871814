"""The kinds of phantoms, one file each; every file here is imported and so registers its kind."""

from importlib import import_module
from pkgutil import iter_modules

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")
