"""Training a segmentation network on images with masks, on phantoms, or on both."""

from typing import TYPE_CHECKING

from .record import EpochRecord, learning_curves
from .settings import PENALTIES, TrainingSettings

if TYPE_CHECKING:
    from .run import TrainingResult, train

__all__ = ["PENALTIES", "EpochRecord", "TrainingResult", "TrainingSettings", "learning_curves", "train"]


def __getattr__(name: str) -> object:
    """`train` and its result when they are asked for: Lightning takes seconds to import."""
    if name not in {"TrainingResult", "train"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import run  # noqa: PLC0415

    return getattr(run, name)
