"""Architectures by name: our own, those of segmentation_models_pytorch ("smp_…") and of torchvision ("torchvision_…").

An architecture is one file of this folder: every file here is imported, and registers what it defines
(`architecture.register`, or an entry of `LIBRARIES` for those of a library).
"""

import importlib
import pkgutil

from .architecture import ARCHITECTURES, Architecture, check_architecture
from .building import build_module, without_published_weights

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f".{_file.name}", __name__)

__all__ = ["ARCHITECTURES", "Architecture", "build_module", "check_architecture", "without_published_weights"]
