"""The arrays of a store: their shapes, blocks and chunks, and what their files must look like."""

import itertools
import json
import math
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .colouring import Plan
from .encoding import ZERO
from .manifest import Manifest
from .row_summaries import NUM_BINS, NUM_OCTAVES, STATISTICS

if TYPE_CHECKING:
    import zarr

METADATA = "zarr.json"
CONSTANTS = ("image", "labels", "row_support", "column_support", "row_colour", "column_colour", "passes", "selected")
SUMMARIES = ("statistics", "histogram", "boxes", "centred")
FACTORS = ("score_derivatives", "statistic_gradients")

MOST_SAMPLED_BLOCKS = 8

_BLOCK_BYTES = 2**23
_MOST_PASSES_PER_BLOCK = 128
_FEWEST_BLOCKS = 16
_CHUNK_BYTES = 2**20
_FACTOR_BYTES = 2**22
_LARGEST_TILE = 1024
_BLOSC = {"cname": "zstd", "clevel": 1, "shuffle": "shuffle"}
_BLOSC_HEADER = struct.Struct("<4B3I")
_CHECKSUM_BYTES = 4
# By default Zarr leaves out chunks that hold nothing but the fill value. It does not keep this setting in the store, so
# every array that is written to needs it.
_RUNTIME: Any = {"write_empty_chunks": True}


@dataclass(frozen=True)
class ArrayLayout:
    """The layout of one array of a store.

    Every chunk ends in a checksum of its bytes, and every chunk that was written is a file, even one of zeros: so a
    chunk that is missing or changed is damage.

    Attributes:
        name: Name of the array and of its folder.
        shape: Shape of the array.
        chunks: Shape of its chunks.
        dtype: Type of its values.
        fill: Value of what was never written.
        compressed: Whether its chunks are compressed. Gradients in float32 are noise to a compressor, and an
            uncompressed chunk is read faster.
    """

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    fill: float = 0
    compressed: bool = True

    @property
    def document(self) -> dict[str, Any]:
        """The `zarr.json` of the array."""
        fill: float | str = self.dtype.type(self.fill).item()
        endian = {"configuration": {"endian": "little"}} if self.dtype.itemsize > 1 else {}
        blosc = {"name": "blosc", "configuration": {**_BLOSC, "typesize": self.dtype.itemsize, "blocksize": 0}}
        return {
            "attributes": {},
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.chunks)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": "NaN" if fill != fill else fill,  # noqa: PLR0124 - NaN alone differs from itself
            "codecs": [{"name": "bytes", **endian}, *([blosc] if self.compressed else []), {"name": "crc32c"}],
        }

    def create(self, store: Path) -> "zarr.Array":
        """Make the array in the folder of a store."""
        (store / self.name).mkdir()
        (store / self.name / METADATA).write_text(json.dumps(self.document))
        return self.open(store)

    def open(self, store: Path) -> "zarr.Array":
        """The array of a store, whose `zarr.json` was checked: Zarr gets what it says and does not read it again."""
        from zarr import Array  # noqa: PLC0415 - slow to import
        from zarr.storage import LocalStore, StorePath  # noqa: PLC0415 - slow to import

        return Array.from_dict(StorePath(LocalStore(store), self.name), self.document).with_config(_RUNTIME)

    def chunks_of(self, selection: Any) -> Iterator[tuple[int, ...]]:
        """The chunks that a selection lies in: `...`, or whole numbers and slices of step 1, one per axis."""
        keys = () if selection is ... else selection if isinstance(selection, tuple) else (selection,)
        ranges = []
        for axis, (length, chunk) in enumerate(zip(self.shape, self.chunks, strict=True)):
            key = keys[axis] if axis < len(keys) else slice(None)
            start, stop, _ = key.indices(length) if isinstance(key, slice) else (int(key), int(key) + 1, 1)
            ranges.append(range(start // chunk, -(-stop // chunk) if stop > start else start // chunk))
        return itertools.product(*ranges)

    def file_of(self, store: Path, chunk: tuple[int, ...]) -> Path:
        """The file of a chunk."""
        return store / self.name / ".".join(map(str, ("c", *chunk)))

    def fault(self, file: Path, *, thorough: bool = True) -> str:
        """What is wrong with a chunk's file: "missing", "cut short" or "no regular file"; empty where nothing is found.

        `thorough` also checks the length of a compressed chunk, for which the file is opened. That keeps a chunk from
        unpacking to more than its size.
        """
        try:
            status = file.lstat()
            if not stat.S_ISREG(status.st_mode):
                return "no regular file"
            if self.compressed and not thorough:
                return ""
            length = self._packed_bytes(file) if self.compressed else math.prod(self.chunks) * self.dtype.itemsize
        except FileNotFoundError:
            return "missing"
        return "" if status.st_size == length + _CHECKSUM_BYTES else "cut short"

    def _packed_bytes(self, file: Path) -> int:
        """The length in a compressed chunk's header; -1 where the chunk would not unpack to its size."""
        with file.open("rb") as opened:
            header = opened.read(_BLOSC_HEADER.size)
        if len(header) < _BLOSC_HEADER.size:
            return -1
        *_, unpacked, _, packed = _BLOSC_HEADER.unpack(header)
        return packed if unpacked == math.prod(self.chunks) * self.dtype.itemsize else -1


def constant_layouts(image_shape: tuple[int, int, int], num_passes: int) -> list[ArrayLayout]:
    """The layouts of `CONSTANTS`, the arrays that are written once, each as one chunk."""
    _, height, width = image_shape
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "image": (image_shape, np.float32),
        "labels": ((height, width), np.int32),
        "row_support": ((height, 2), np.int64),
        "column_support": ((width, 2), np.int64),
        "row_colour": ((height,), np.int32),
        "column_colour": ((width,), np.int32),
        "passes": ((num_passes, 2), np.int32),
        "selected": ((height, width), np.bool_),
    }
    return [ArrayLayout(name, shape, shape, np.dtype(dtype)) for name, (shape, dtype) in shapes.items()]


def result_layouts(manifest: Manifest, plan: Plan) -> list[ArrayLayout]:
    """The layouts of the arrays that blocks are written into."""
    height, width = plan.size
    block, num_passes, slots = manifest.passes_per_block, len(plan), plan.slots
    coordinate = np.dtype(np.int16 if max(plan.size) < 2**15 else np.int32)
    single = np.dtype(np.float32)
    num_blocks, centred = -(-num_passes // block), plan.reach.centred_shape
    layouts = [
        ArrayLayout(
            "statistics", (num_passes, slots, len(STATISTICS)), (block, slots, len(STATISTICS)), single, np.nan
        ),
        ArrayLayout("histogram", (num_passes, slots, NUM_BINS), (block, slots, NUM_BINS), histogram_type(plan)),
        ArrayLayout("boxes", (num_passes, slots, NUM_OCTAVES, 4), (block, slots, NUM_OCTAVES, 4), coordinate),
        ArrayLayout("centred", (num_blocks, *centred), (1, *centred), single),
    ]
    if manifest.keep_rows:
        chunk = min(_power_of_two(_CHUNK_BYTES // (4 * manifest.channels * height * width)), block)
        tile = (min(height, _LARGEST_TILE), min(width, _LARGEST_TILE))
        layouts.append(
            ArrayLayout(
                "rows",
                (num_passes, manifest.channels, height, width),
                (chunk, manifest.channels, *tile),
                np.dtype(manifest.dtype),
                ZERO[manifest.dtype],
                compressed=manifest.dtype != "float32",
            )
        )
    return layouts


def factor_layouts(manifest: Manifest, size: tuple[int, int]) -> list[ArrayLayout]:
    """The layouts of `FACTORS`, the arrays of a `Coupling`, in blocks of statistics."""
    number, (height, width) = manifest.statistics, size
    if not number:
        return []
    block = min(_power_of_two(_FACTOR_BYTES // (4 * manifest.channels * height * width)), number)
    return [
        ArrayLayout(name, (number, *shape), (block, *shape), np.dtype(np.float32), compressed=False)
        for name, shape in zip(FACTORS, ((height, width), (manifest.channels, height, width)), strict=True)
    ]


def passes_per_block(plan: Plan, channels: int, batch_size: int = 1) -> int:
    """The number of passes in a block: a few seconds' work, a few megabytes, and no batch is cut short by its end.

    Blocks, chunks of rows and batches hold powers of two, so that each fits whole into the next.
    """
    gradient_bytes = 4 * channels * math.prod(plan.size)
    block = min(_BLOCK_BYTES // gradient_bytes, _MOST_PASSES_PER_BLOCK, len(plan) // _FEWEST_BLOCKS)
    return _power_of_two(max(block, min(batch_size, len(plan))))


def histogram_type(plan: Plan) -> np.dtype:
    """The type of the histograms' counts, the smallest that holds the largest window."""
    field = plan.reach
    largest = int((field.rows.last - field.rows.first + 1).max() * (field.columns.last - field.columns.first + 1).max())
    return np.dtype(np.uint16 if largest < 2**16 else np.uint32)


def _power_of_two(number: int) -> int:
    """The largest power of two that is not above the number, at least 1."""
    return 1 << max(number, 1).bit_length() - 1
