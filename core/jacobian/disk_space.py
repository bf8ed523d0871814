"""Disk space that a store takes, and that is free."""

import math
import shutil
from pathlib import Path

import numpy as np

from ..display.words import bytes_in_words
from ..errors import UserError
from .array_layouts import MOST_SAMPLED_BLOCKS, histogram_type
from .colouring import Plan
from .coupling import factor_bytes
from .manifest import Manifest
from .row_summaries import NUM_BINS, NUM_OCTAVES, STATISTICS


def disk_bytes(plan: Plan, manifest: Manifest) -> int:
    """The most bytes that a store can take, before compression."""
    pixels = math.prod(plan.size)
    summary = NUM_BINS * histogram_type(plan).itemsize + NUM_OCTAVES * 4 * 2 + len(STATISTICS) * 4
    total = len(plan) * plan.slots * summary + MOST_SAMPLED_BLOCKS * 4 * math.prod(plan.reach.centred_shape)
    if manifest.keep_rows:
        total += len(plan) * manifest.channels * pixels * np.dtype(manifest.dtype).itemsize
    total += factor_bytes(plan.statistics, (manifest.channels, *plan.size))
    return total + 4 * (manifest.channels + 2) * pixels


def free_disk_bytes(path: Path) -> int:
    """Bytes left on the disk that `path` lies on or would lie on."""
    return shutil.disk_usage(_nearest_folder(path)).free


def check_free_disk(path: Path, needed: int) -> None:
    """Raise a UserError if the disk that `path` lies on has fewer than `needed` bytes left."""
    free = free_disk_bytes(path)
    if needed > free:
        raise UserError(
            f"The Jacobian needs up to {bytes_in_words(needed)} and {_nearest_folder(path)} has {bytes_in_words(free)} "
            "left; keep summaries only, store float16 or uint8, sample with a stride, or free some space."
        )


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
