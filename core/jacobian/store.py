"""The Jacobian on disk: a Zarr v3 group.

What is kept is the compressed Jacobian of Curtis, Powell & Reid: the gradient image of each pass, in which the rows of
its pixels lie side by side and from which any row's window is a slice. That is as small as a window for each row, and
every pass is written once, where it belongs, without touching another's chunk.

A **block** of passes is the unit of work, of writing and of resuming. The chunk of its statistics is written last, so a
block whose chunk is there is finished; a run that is killed at any moment loses no more than the blocks in progress.
"""

import math
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from core.errors import UserError
from core.jacobian.colouring import Plan
from core.jacobian.layout import SCHEMA, Manifest, create_results, sampled_blocks
from core.jacobian.summaries import Histogram, PlannedWindows
from core.jacobian.support import AxisSupport, ReceptiveField

_KEY = "whypixel_jacobian"


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What a block of passes is summed up to, and its rows.

    Attributes:
        rows: (passes, C, H, W) as stored; None where only summaries are kept.
        statistics: Float32 (passes, slots, len(STATISTICS)), NaN where a slot holds no pixel.
        histogram: (passes, slots, NUM_BINS).
        boxes: (passes, slots, NUM_OCTAVES, 4).
        centred: Float32 (2·height - 1 at most, …), the sum of the block's |rows|, each centred on its pixel; None for
            blocks that are not sampled for the effective receptive field.
    """

    rows: np.ndarray | None
    statistics: np.ndarray
    histogram: np.ndarray
    boxes: np.ndarray
    centred: np.ndarray | None


class JacobianStore:
    """A Jacobian's Zarr group on a local or shared disk. Open one with the class, make one with `create`.

    Raises:
        UserError: No store there, a store of a later version, or one whose parts are missing or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise UserError(f"There is no Jacobian at {self.path}; compute one first.")
        try:
            self._group = zarr.open_group(self.path, mode="r+")
            entries: Any = self._group.attrs[_KEY]
            known = {entry.name for entry in fields(Manifest)}
            self.manifest = Manifest(**{key: value for key, value in entries.items() if key in known})
            self._arrays = dict(self._group.arrays())
            self.image = self._read("image")
            self.labels = self._read("labels")
            self.plan = self._read_plan()
            needed = {"statistics", "histogram", "boxes", "centred"} | ({"rows"} if self.manifest.keep_rows else set())
            if not needed <= self._arrays.keys():
                raise KeyError(*sorted(needed - self._arrays.keys()))
        except (KeyError, TypeError, ValueError, OSError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"{self.path} is not a whole Jacobian store ({error or type(error).__name__}); delete it and compute "
                "it again."
            ) from error
        if self.manifest.schema > SCHEMA:
            raise UserError(f"{self.path} was written by a later version of this program; update the program.")
        self._finished: set[int] = set()

    @classmethod
    def create(
        cls, path: str | Path, manifest: Manifest, plan: Plan, image: np.ndarray, labels: np.ndarray
    ) -> "JacobianStore":
        """A new store without rows, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            group = zarr.open_group(part, mode="w", attributes={_KEY: asdict(manifest)})
            constants = {
                "image": image,
                "labels": labels.astype(np.int32),
                "row_support": _pairs(plan.field.rows),
                "column_support": _pairs(plan.field.columns),
                "row_colour": _colour_of_position(plan.rows, plan.size[0]),
                "column_colour": _colour_of_position(plan.columns, plan.size[1]),
                "passes": plan.passes.astype(np.int32),
                "selected": plan.selected,
            }
            for name, values in constants.items():
                group.create_array(name, data=values, chunks=values.shape)
            create_results(group, manifest, plan)
            part.rename(path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return cls(path)

    @property
    def num_blocks(self) -> int:
        """The number of blocks that the passes are cut into."""
        return -(-len(self.plan) // self.manifest.passes_per_block)

    @property
    def bins(self) -> Histogram:
        """The bins of the histograms."""
        return Histogram(self.manifest.lowest_bin)

    @cached_property
    def windows(self) -> PlannedWindows:
        """The windows of each pass."""
        return PlannedWindows(self.plan)

    def passes_of(self, block: int) -> range:
        """The passes of a block."""
        start = block * self.manifest.passes_per_block
        return range(start, min(start + self.manifest.passes_per_block, len(self.plan)))

    def is_sampled(self, block: int) -> bool:
        """Whether the block's rows are sampled for the effective receptive field: a few blocks over the run are."""
        return block in sampled_blocks(self.num_blocks)

    def finished(self) -> set[int]:
        """The blocks whose results are on disk."""
        chunks = (file.name.split(".") for file in (self.path / "statistics").iterdir() if file.name.startswith("c."))
        written = {int(indices[1]) for indices in chunks if indices[-1] != "partial"}
        self._finished |= {block for block in written - self._finished if self._rows_are_whole(block)}
        return set(self._finished)

    def is_finished(self, block: int) -> bool:
        """Whether a block's results are on disk."""
        if block not in self._finished and (self.path / "statistics" / f"c.{block}.0.0").exists():
            self._finished |= {block} if self._rows_are_whole(block) else set()
        return block in self._finished

    def write(self, block: int, result: BlockResult) -> None:
        """Write a block's results; it counts as finished only when all of them are on disk."""
        passes = self.passes_of(block)
        span = slice(passes.start, passes.stop)
        if result.rows is not None:
            self._arrays["rows"][span] = result.rows
        if result.centred is not None:
            self._arrays["centred"][block] = result.centred
        self._arrays["histogram"][span] = result.histogram
        self._arrays["boxes"][span] = result.boxes
        self._arrays["statistics"][span] = result.statistics

    def read(self, name: str, selection: Any = ...) -> np.ndarray:
        """Part of one of the arrays "rows", "statistics", "histogram", "boxes", "centred".

        Raises:
            UserError: A damaged chunk.
        """
        try:
            return self._read(name, selection)
        except (ValueError, OSError, RuntimeError) as error:
            raise UserError(
                f"A part of {self.path} is damaged ({error}); start the run again, which computes it anew."
            ) from error

    def _read(self, name: str, selection: Any = ...) -> np.ndarray:
        return np.asarray(self._arrays[name][selection])

    def _read_plan(self) -> Plan:
        rows, columns = (AxisSupport(*self._read(name).T) for name in ("row_support", "column_support"))
        return Plan(
            ReceptiveField(rows, columns, self.manifest.dense),
            _positions_of_colour(self._read("row_colour"), rows),
            _positions_of_colour(self._read("column_colour"), columns),
            self._read("passes"),
            self._read("selected"),
        )

    def _rows_are_whole(self, block: int) -> bool:
        """Whether all chunks of a block's rows are there; uncompressed ones must have their full length too."""
        if not self.manifest.keep_rows:
            return True
        array = self._arrays["rows"]
        full = math.prod(array.chunks) * array.dtype.itemsize
        passes_per_chunk, _, tile_height, tile_width = array.chunks
        _, _, height, width = array.shape
        passes = self.passes_of(block)
        for chunk in range(passes.start // passes_per_chunk, (passes.stop - 1) // passes_per_chunk + 1):
            for row, column in np.ndindex(-(-height // tile_height), -(-width // tile_width)):
                file = self.path / "rows" / f"c.{chunk}.0.{row}.{column}"
                if not file.exists() or (self.manifest.dtype == "float32" and file.stat().st_size != full):
                    return False
        return True


def _pairs(support: AxisSupport) -> np.ndarray:
    return np.stack((support.first, support.last), axis=1)


def _colour_of_position(colours: Iterable[np.ndarray], length: int) -> np.ndarray:
    colour_of_position = np.full(length, -1, np.int32)
    for colour, positions in enumerate(colours):
        colour_of_position[positions] = colour
    return colour_of_position


def _positions_of_colour(colour_of_position: np.ndarray, support: AxisSupport) -> tuple[np.ndarray, ...]:
    order = np.argsort(support.first, kind="stable")
    return tuple(order[colour_of_position[order] == colour] for colour in range(colour_of_position.max() + 1))
