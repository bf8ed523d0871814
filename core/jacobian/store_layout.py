"""What a stored Jacobian says of itself, and how large it is: manifest, blocks, bytes."""

import hashlib
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..target import Space
from .colouring import Plan
from .encoding import StoredType
from .summaries import NUM_BINS, NUM_OCTAVES, STATISTICS

SCHEMA = 2

_BLOCK_BYTES = 2**23
_MOST_PASSES_A_BLOCK = 128
_FEWEST_BLOCKS = 16
_MOST_SAMPLED_BLOCKS = 8
_IDENTITY = {
    "weights_hash": "model",
    "image_hash": "image",
    "class_index": "class",
    "space": "score space",
    "stride": "stride",
    "region_hash": "region",
    "dtype": "number type",
    "keep_rows": "choice between rows and summaries only",
}


@dataclass(frozen=True)
class Manifest:
    """What a store is the Jacobian of, and how it is laid out.

    Attributes:
        model: The network's name.
        weights_hash: `Segmenter.weights_hash`.
        image_hash: SHA-256 over the image's values.
        class_index: The class explained.
        space: The score space.
        stride: Every how many output rows and columns one is computed.
        region_hash: SHA-256 over the region; empty for the whole image.
        dtype: How gradient values are stored.
        keep_rows: Whether rows are kept, or summaries only.
        channels: Of the image.
        dense: Whether every pixel reaches every other by the network's design.
        note: A word for the user about the path taken; may be empty.
        batch_size: Passes run at once.
        passes_per_block: Passes in a block.
        lowest_bin: Of the histograms, see `Histogram`.
        versions: Of the libraries that made it.
        schema: Of this layout.
        notes: What was assumed or concluded of the network, one sentence each.
    """

    model: str
    weights_hash: str
    image_hash: str
    class_index: int
    space: Space
    stride: int
    region_hash: str
    dtype: StoredType
    keep_rows: bool
    channels: int
    dense: bool
    note: str
    batch_size: int
    passes_per_block: int
    lowest_bin: int
    versions: dict[str, str]
    schema: int = SCHEMA
    notes: tuple[str, ...] = ()

    def difference(self, identity: Mapping[str, object]) -> str:
        """What makes the Jacobian asked for another one than this, in the user's words; empty if nothing does."""
        return ", ".join(word for key, word in _IDENTITY.items() if getattr(self, key) != identity[key])


def passes_per_block(plan: Plan, channels: int, batch_size: int = 1) -> int:
    """So many passes that a block is a few seconds' work and a few megabytes, and no batch is cut short by its end.

    Blocks, chunks of rows and batches hold powers of two, so that each fits whole into the next.
    """
    gradient_bytes = 4 * channels * math.prod(plan.size)
    block = min(_BLOCK_BYTES // gradient_bytes, _MOST_PASSES_A_BLOCK, len(plan) // _FEWEST_BLOCKS)
    return power_of_two(max(block, min(batch_size, len(plan))))


def disk_bytes(plan: Plan, channels: int, dtype: StoredType, *, keep_rows: bool) -> int:
    """The most bytes that a store can take, before compression."""
    summary = NUM_BINS * histogram_type(plan).itemsize + NUM_OCTAVES * 4 * 2 + len(STATISTICS) * 4
    total = len(plan) * plan.slots * summary + _MOST_SAMPLED_BLOCKS * 4 * math.prod(centred_shape(plan))
    if keep_rows:
        total += len(plan) * channels * math.prod(plan.size) * np.dtype(dtype).itemsize
    return total + 4 * (channels + 2) * math.prod(plan.size)


def free_disk_bytes(path: Path) -> int:
    """Bytes left on the disk that `path` lies on or would lie on."""
    return shutil.disk_usage(_nearest_folder(path)).free


def check_free_disk(path: Path, needed: int) -> None:
    """Raise a UserError if the disk that `path` lies on has fewer than `needed` bytes left."""
    free = free_disk_bytes(path)
    if needed > free:
        raise UserError(
            f"The Jacobian needs up to {in_words(needed)} and {_nearest_folder(path)} has {in_words(free)} left; keep "
            "summaries only, store float16 or uint8, sample with a stride, or free some space."
        )


def in_words(size: float) -> str:
    """A number of bytes as "3.4 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def centred_shape(plan: Plan) -> tuple[int, int]:
    """The size of an array in which every row of the Jacobian fits when it is centred on its pixel."""
    field = plan.field
    return field.up + field.down + 1, field.left + field.right + 1


def hash_of(values: np.ndarray | None) -> str:
    """SHA-256 over an array's shape and values; empty for None."""
    if values is None:
        return ""
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()


def sampled_blocks(num_blocks: int) -> set[int]:
    """The blocks whose rows are sampled for the effective receptive field, spread over the run."""
    return {int(block) for block in np.linspace(0, num_blocks - 1, min(_MOST_SAMPLED_BLOCKS, num_blocks)).round()}


def histogram_type(plan: Plan) -> np.dtype:
    """The type of the histograms' counts, the smallest that holds the largest window."""
    field = plan.field
    largest = int((field.rows.last - field.rows.first + 1).max() * (field.columns.last - field.columns.first + 1).max())
    return np.dtype(np.uint16 if largest < 2**16 else np.uint32)


def power_of_two(number: int) -> int:
    """The largest power of two that is not above the number, at least 1."""
    return 1 << max(number, 1).bit_length() - 1


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
