"""The Jacobian on disk: a Zarr v3 group.

What is kept is the compressed Jacobian of Curtis, Powell & Reid: the gradient image of each pass, in which the rows of
its pixels lie side by side and from which any row's window is a slice. That is as small as a window for each row, and
every pass is written once, where it belongs, without touching another's chunk.

A **block** of passes is the unit of work, of writing and of resuming. The chunk of its statistics is written last, so a
block whose chunk is there is finished; a run that is killed at any moment loses no more than the blocks in progress.
A finished block that lacks a chunk of another array is damaged: it counts as not finished, and a run computes it anew.
"""

import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .array_layouts import FACTORS, MOST_SAMPLED_BLOCKS, ArrayLayout
from .colouring import Plan
from .coupling import PART_BYTES, Coupling, Factors, factor_bytes, is_held
from .inspection import MOST_IMAGE_VALUES
from .manifest import Manifest
from .opening import open_checked, write_empty_store
from .row_summaries import Histogram, PlannedWindows

_STATISTICS_CHUNK = re.compile(r"c\.(\d{1,10})\.0\.0")
_MOST_NAMED = 3


class JacobianStore:
    """A Jacobian's Zarr group on a local or shared disk. Open one with the class, make one with `create`.

    Nothing in the folder is trusted: files, metadata, manifest and plan are checked before they are used, and what is
    written once is checked against its hashes.

    Attributes:
        manifest: Which Jacobian it is, of which model and image.
        plan: The passes.
        image: Float32 (C, H, W).
        labels: Int32 (H, W), the predicted class of each pixel.

    Raises:
        UserError: No store there, a store of another version, or one whose parts are missing or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise UserError(f"There is no Jacobian at {self.path}; compute one first.")
        try:
            self.manifest, self.plan, constants, self._layouts, self._factor_layouts = open_checked(self.path)
        except UserError:
            raise
        except Exception as error:  # a store from elsewhere may raise anything
            raise UserError(
                f"{self.path} is not a whole Jacobian store ({error or type(error).__name__}); delete it and compute "
                "it again."
            ) from error
        self.image, self.labels = constants["image"], constants["labels"]
        layouts = {**self._layouts, **self._factor_layouts}
        self._arrays = {name: layout.open(self.path) for name, layout in layouts.items()}
        self._finished: set[int] = set()

    @classmethod
    def create(
        cls, path: str | Path, manifest: Manifest, plan: Plan, image: np.ndarray, labels: np.ndarray
    ) -> "JacobianStore":
        """A new store without rows, whole or not at all."""
        if image.size > MOST_IMAGE_VALUES:
            raise UserError(
                f"The image holds {image.size:,} values and a Jacobian takes at most {MOST_IMAGE_VALUES:,}; take a "
                "part of it or scale it down."
            )
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            write_empty_store(part, manifest, plan, image, labels)
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
    def num_passes(self) -> int:
        """Passes of the whole Jacobian: those of the plan, and two for each statistic."""
        return len(self.plan) + 2 * self.manifest.statistics

    @property
    def passes_done(self) -> int:
        """Those of them whose results are on disk."""
        missing = sum(map(len, self.missing_factors))
        blocks = sum(len(self.passes_of(block)) for block in self.finished())
        return blocks + 2 * (self.manifest.statistics - missing)

    @property
    def bins(self) -> Histogram:
        """The bins of the histograms."""
        return Histogram(self.manifest.lowest_bin)

    @property
    def missing_factors(self) -> list[range]:
        """The statistics whose part of the coupling's factors is not on disk, in blocks."""
        if not self._factor_layouts:
            return []
        number, length = self.manifest.statistics, self.statistics_per_chunk
        blocks = [range(start, min(start + length, number)) for start in range(0, number, length)]
        return [block for block in blocks if any(self._faulty_factors(block))]

    @property
    def statistics_per_chunk(self) -> int:
        """How many statistics the factors are written by."""
        return self._factor_layouts[FACTORS[0]].chunks[0]

    def write_factors(self, block: range, factors: Factors) -> None:
        """Write the factors of a block of statistics."""
        for name, values in zip(FACTORS, factors, strict=True):
            self._arrays[name][block.start : block.stop] = values

    @cached_property
    def coupling(self) -> Coupling | None:
        """What statistics over the image add to the rows, once its factors are on disk; None where there are none.

        Raises:
            UserError: A part of the factors is missing or damaged.
        """
        if not self._factor_layouts:
            return None
        if is_held(self.manifest.statistics, self.image.shape):
            return Coupling([Factors(*map(self.read, FACTORS))])
        return Coupling(_FactorsOnDisk(self))

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
        return block in self._sampled

    def finished(self) -> set[int]:
        """The blocks whose results are on disk, all of them."""
        self._finished |= {block for block in self._summed_up() - self._finished if not any(self._faulty_arrays(block))}
        return set(self._finished)

    def is_finished(self, block: int) -> bool:
        """Whether a block's results are on disk, all of them."""
        if block not in self._finished and self._layouts["statistics"].file_of(self.path, (block, 0, 0)).exists():
            self._finished |= set() if any(self._faulty_arrays(block)) else {block}
        return block in self._finished

    def damage(self) -> str:
        """A sentence on what is missing of blocks that were finished; empty if nothing is.

        A run computes such blocks anew. Changed bytes are found only when they are read.
        """
        parts = [
            f"{name} of block {block}"
            for block in sorted(self._summed_up() - self.finished())
            for name in self._faulty_arrays(block)
        ]
        if self._summed_up():  # which begins when all factors are there
            parts += [
                f"{name} of statistic {block.start}"
                for block in self.missing_factors
                for name in self._faulty_factors(block)
            ]
        if not parts:
            return ""
        named = ", ".join(parts[:_MOST_NAMED]) + (", …" if len(parts) > _MOST_NAMED else "")
        number = "A part of" if len(parts) == 1 else f"{len(parts)} parts of"
        verb, them = ("is", "it") if len(parts) == 1 else ("are", "them")
        return (
            f"{number} {self.path} {verb} missing or cut short ({named}); start the run again, which computes {them} "
            "anew."
        )

    def spans(self, blocks: Iterable[int]) -> Iterator[slice]:
        """The passes of some blocks, those of neighbours in one slice."""
        ordered = sorted(blocks)
        start = 0
        for place, block in enumerate(ordered):
            if place + 1 == len(ordered) or ordered[place + 1] != block + 1:
                yield slice(self.passes_of(ordered[start]).start, self.passes_of(block).stop)
                start = place + 1

    def new_results(self, block: int) -> dict[str, np.ndarray]:
        """The arrays of a block's results by name, as they are before any pass: NaN or 0; "centred" as float64."""
        num_passes = len(self.passes_of(block))
        results = {
            name: np.full((num_passes, *layout.shape[1:]), layout.fill, layout.dtype)
            for name, layout in self._layouts.items()
            if name != "centred"
        }
        # The sum of the block's |rows|, each centred on its pixel, of the blocks that are sampled for it.
        return results | ({"centred": np.zeros(self.plan.reach.centred_shape)} if self.is_sampled(block) else {})

    def write(self, block: int, results: Mapping[str, np.ndarray]) -> None:
        """Write what `new_results` gave; the block counts as finished only when all of it is on disk."""
        passes = self.passes_of(block)
        for name in sorted(results, key=lambda name: name == "statistics"):
            self._arrays[name][block if name == "centred" else slice(passes.start, passes.stop)] = results[name]

    def zeros(self, name: str) -> np.ndarray:
        """Zeros of the shape and the type of one of those arrays that `read` reads."""
        return np.zeros(self._layouts[name].shape, self._layouts[name].dtype)

    def read(self, name: str, selection: Any = ...) -> np.ndarray:
        """Part of one of `FACTORS`, or of the "rows", "statistics", "histogram", "boxes", "centred" of finished blocks.

        Args:
            name: Name of the array.
            selection: `...` for all of it, or whole numbers and slices of step 1.

        Raises:
            UserError: A chunk that is missing or damaged.
        """
        layout = self._factor_layouts[name] if name in self._factor_layouts else self._layouts[name]
        for chunk in layout.chunks_of(selection):
            if name != "centred" or self.is_sampled(chunk[0]):
                self._check_chunk(layout, chunk)
        try:
            return np.asarray(self._arrays[name][selection])
        except (ValueError, OSError, RuntimeError) as error:
            raise self._damaged(layout, selection, error) from error

    @cached_property
    def _sampled(self) -> set[int]:
        number = min(MOST_SAMPLED_BLOCKS, self.num_blocks)
        return {int(block) for block in np.linspace(0, self.num_blocks - 1, number).round()}

    def _summed_up(self) -> set[int]:
        """The blocks whose statistics, which are written last, are on disk."""
        found = (_STATISTICS_CHUNK.fullmatch(file.name) for file in (self.path / "statistics").iterdir())
        blocks = {int(match[1]) for match in found if match}
        return {block for block in blocks if block < self.num_blocks}

    def _faulty_arrays(self, block: int) -> Iterator[str]:
        """The arrays of which a chunk of the block is missing; uncompressed ones must have their full length too."""
        passes = self.passes_of(block)
        for name, layout in self._layouts.items():
            if name == "centred" and not self.is_sampled(block):
                continue
            selection = block if name == "centred" else slice(passes.start, passes.stop)
            files = (layout.file_of(self.path, chunk) for chunk in layout.chunks_of(selection))
            if any(layout.fault(file, thorough=False) for file in files):
                yield name

    def _faulty_factors(self, block: range) -> Iterator[str]:
        for name, layout in self._factor_layouts.items():
            files = (layout.file_of(self.path, chunk) for chunk in layout.chunks_of(slice(block.start, block.stop)))
            if any(layout.fault(file) for file in files):
                yield name

    def _check_chunk(self, layout: ArrayLayout, chunk: tuple[int, ...]) -> None:
        file = layout.file_of(self.path, chunk)
        fault = layout.fault(file)
        if fault == "missing":
            raise UserError(
                f"{self.path} is damaged: {layout.name}/{file.name} is missing; start the run again, which computes it "
                "anew."
            )
        if fault:
            raise self._changed(file, fault)

    def _damaged(self, layout: ArrayLayout, selection: Any, error: Exception) -> UserError:
        """The error for a selection that cannot be read: it names the first chunk that cannot."""
        for chunk in layout.chunks_of(selection):
            place = tuple(slice(i * size, (i + 1) * size) for i, size in zip(chunk, layout.chunks, strict=True))
            try:
                self._arrays[layout.name][place]
            except (ValueError, OSError, RuntimeError):
                return self._changed(layout.file_of(self.path, chunk), "changed")
        return UserError(f"A part of {self.path} could not be read ({error}); try it again.")

    def _changed(self, file: Path, fault: str) -> UserError:
        return UserError(
            f"A part of {self.path} is damaged ({file.parent.name}/{file.name} is {fault}); delete this file and start "
            "the run again, which computes it anew."
        )


class _FactorsOnDisk(Sequence[Factors]):
    """The factors of a store in parts of `PART_BYTES`, each read from the disk, and checked, when it is asked for."""

    def __init__(self, store: JacobianStore) -> None:
        self._store = store
        chunk, number = store.statistics_per_chunk, store.manifest.statistics
        self._length = max(PART_BYTES // factor_bytes(chunk, store.image.shape), 1) * chunk
        self._starts = range(0, number, self._length)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        start = self._starts[index]
        span = slice(start, min(start + self._length, self._store.manifest.statistics))
        return Factors(*(self._store.read(name, span) for name in FACTORS))
