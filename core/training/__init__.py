"""Training a segmentation network on images with masks."""

from importlib import import_module
from typing import TYPE_CHECKING

from .settings import TrainingSettings

if TYPE_CHECKING:
    from .record import EpochRecord, learning_curves
    from .run import TrainingResult, train

__all__ = ["EpochRecord", "TrainingResult", "TrainingSettings", "learning_curves", "train"]

# Imported when they are asked for: torch and plotly take seconds, and the command line needs only the settings' names.
_MODULES = {"EpochRecord": "record", "learning_curves": "record", "TrainingResult": "run", "train": "run"}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
