"""Threshold maps: how many input pixels influence each output pixel, and the boxes around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ..display.colours import magnitude_scale, png_bytes
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically
from .encoding import decode
from .row_summaries import STATISTICS, PassWindows, magnitude
from .store import JacobianStore
from .summary_maps import SummaryMaps

Definition = Literal["absolute", "original"]
Source = Literal["rows", "histogram"]

DEFINITIONS: tuple[Definition, ...] = get_args(Definition)
SOURCES: tuple[Source, ...] = get_args(Source)
_SCALE = STATISTICS.index("scale")


@dataclass(frozen=True)
class Threshold:
    """A proportion of the largest entry of a Jacobian.

    Attributes:
        proportion: Proportion of the maximum, 0 to 1.
        definition: "absolute": the maximum is max |J|. "original": it is the signed maximum max J, and threshold maps
            are min-max normalised, as the original project did.
        source: "rows" counts exactly and reads the whole store; "histogram" is immediate, and exact for the threshold
            moved to the nearest level that histograms keep (at most 7 % away). None: rows where they are kept.

    Raises:
        UserError: A proportion outside [0, 1], or an unknown definition or source.
    """

    proportion: float = 0.01
    definition: Definition = "absolute"
    source: Source | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.proportion <= 1:
            raise UserError(f"The proportion of the maximum is between 0 and 1; {self.proportion} was given.")
        if self.definition not in DEFINITIONS:
            raise UserError(f'A threshold is {" or ".join(DEFINITIONS)}; "{self.definition}" was given.')
        if self.source is not None and self.source not in SOURCES:
            raise UserError(f'Maps come from {" or ".join(SOURCES)}; "{self.source}" was given.')

    @classmethod
    def of(
        cls, value: "Threshold | float", definition: Definition = "absolute", source: Source | None = None
    ) -> "Threshold":
        """The threshold itself, or the one at this proportion."""
        return value if isinstance(value, Threshold) else cls(value, definition, source)


@dataclass(frozen=True, eq=False)
class ThresholdMaps:
    """Maps of what lies above a threshold, from a store's rows or from its summaries.

    Counts and boxes from rows are those of one reading. From summaries, boxes are kept at one level per octave.

    Raises:
        UserError: Rows are the source and are not kept.
    """

    store: JacobianStore
    summaries: SummaryMaps
    threshold: Threshold

    def __post_init__(self) -> None:
        if self.threshold.source == "rows" and not self.store.manifest.keep_rows:
            raise UserError(f"{self.store.path} keeps summaries only; take the histogram as the source.")

    @property
    def from_rows(self) -> bool:
        """Whether the rows are counted; else histograms are the source."""
        return self.threshold.source != "histogram" and self.store.manifest.keep_rows

    @cached_property
    def maximum(self) -> float:
        """The largest magnitude ("absolute") or the largest signed value ("original") over all rows computed."""
        name = "maximum" if self.threshold.definition == "absolute" else "signed_maximum"
        values = self.summaries.statistic(name)
        return 0.0 if np.isnan(values).all() else max(float(np.nanmax(values)), 0.0)

    def magnitude(self, *, at_box_level: bool = False) -> np.float32:
        """The magnitude above which is counted; from histograms, moved to the nearest level that they keep.

        With `at_box_level`, that is a level of the boxes, one per octave.

        Raises:
            UserError: A proportion below what the histograms resolve.
        """
        levels = self.store.bins.box_levels if at_box_level else self.store.bins.edges
        proportion = self.threshold.proportion
        found = self._magnitude(proportion, levels)
        if np.isnan(found):
            raise UserError(
                f"The summaries resolve magnitudes down to {levels[0]:.2g}, and the proportion {proportion:g} of the "
                f"maximum is {proportion * self.maximum:.2g}; take a larger proportion, or keep rows."
            )
        return found

    def magnitudes(self, proportions: Sequence[float]) -> np.ndarray:
        """`magnitude` for other proportions, float32 (N,); NaN for those below what the histograms resolve."""
        edges = self.store.bins.edges
        return np.array([self._magnitude(proportion, edges) for proportion in proportions], np.float32)

    def _magnitude(self, proportion: float, levels: np.ndarray) -> np.float32:
        threshold = np.float32(proportion) * np.float32(self.maximum)
        if self.from_rows:
            return threshold
        if proportion > 0 and threshold < levels[0] / 2:
            return np.float32(np.nan)
        nearest = levels[np.abs(np.log(levels) - np.log(max(threshold, levels[0]))).argmin()]
        # Bins count what reaches their edge, a threshold what exceeds it.
        return np.nextafter(nearest, np.float32(0))

    def counts(self, *, at_box_level: bool = False) -> np.ndarray:
        """Float32 (H, W): the input pixels above the threshold, NaN where no row is computed."""
        if self.from_rows:
            return self._counts_and_boxes_of_rows[0].copy()
        magnitude = self.magnitude(at_box_level=at_box_level)
        first_bin = int(np.searchsorted(self.store.bins.edges, magnitude, side="right"))
        return self.summaries.gather(
            "histogram", lambda bins: bins[..., first_bin:].sum(axis=-1, dtype=np.float32), np.nan
        )

    def boxes(self) -> np.ndarray:
        """Int32 (H, W, 4): top, left, bottom, right of the box around what is above the threshold; zeros for none."""
        if self.from_rows:
            return self._counts_and_boxes_of_rows[1]
        level = int(np.searchsorted(self.store.bins.box_levels, self.magnitude(at_box_level=True), side="right"))
        return self.summaries.gather("boxes", lambda boxes: boxes[..., level, :].astype(np.int32), 0)

    def areas(self) -> np.ndarray:
        """Float32 (H, W): the area of each box, NaN where no row is computed."""
        boxes = self.boxes()
        areas = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).astype(np.float32)
        areas[~self.summaries.computed] = np.nan
        return areas

    def fulfilment(self) -> np.ndarray:
        """Float32 (H, W) in (0, 1]: the count above the boxes' threshold divided by the area; NaN for empty boxes."""
        counts, areas = self.counts(at_box_level=True), self.areas()
        return np.divide(counts, areas, out=np.full_like(areas, np.nan), where=areas > 0)

    @cached_property
    def _counts_and_boxes_of_rows(self) -> tuple[np.ndarray, np.ndarray]:
        plan, threshold = self.store.plan, self.magnitude()
        # The boxes hold what reaches a level; the next float above the threshold is the least that exceeds it.
        level = np.nextafter(threshold, np.float32(np.inf), dtype=np.float32)
        counts = np.full(plan.size, np.nan, np.float32)
        boxes = np.zeros((*plan.size, 4), np.int32)
        for block in sorted(self.store.finished()):
            for windows, gradient in stored_rows(self.store, block):
                magnitudes = magnitude(gradient)
                pixels = np.ix_(windows.rows.positions, windows.columns.positions)
                counts[pixels] = windows.reduce(np.add, (magnitudes >= level).astype(np.int32))
                boxes[pixels] = windows.boxes(magnitudes, level[None])[..., 0, :]
        counts[~plan.selected] = np.nan
        boxes[~plan.selected] = 0
        return counts, boxes


def stored_rows(store: JacobianStore, block: int) -> Iterator[tuple[PassWindows, np.ndarray]]:
    """The rows of a finished block: images float32 (C, H, W), and the windows that each row has in them."""
    passes = ((store.windows[index], gradient) for index, gradient in _stored_passes(store, block))
    if store.coupling is None:
        yield from passes
    else:
        for row in store.coupling.rows_of_passes(store.plan, passes):
            yield row.window, row.values


def _stored_passes(store: JacobianStore, block: int) -> Iterator[tuple[int, np.ndarray]]:
    passes = store.passes_of(block)
    span = slice(passes.start, passes.stop)
    stored = store.read("rows", span)
    statistics = store.read("statistics", span)
    for place, index in enumerate(passes):
        if store.manifest.dtype == "float32":
            yield index, stored[place]
            continue
        windows = store.windows[index]
        shape = (len(windows.rows), len(windows.columns))
        scale = np.nan_to_num(statistics[place, : shape[0] * shape[1], _SCALE]).reshape(shape)
        yield index, decode(stored[place], windows.spread(scale), store.manifest.dtype)


def normalised(values: np.ndarray) -> np.ndarray:
    """A map between 0 and 1: (values - min) / (max - min), NaN left out; zeros where all values are equal."""
    if np.isnan(values).all():
        return values.copy()
    low, high = np.nanmin(values), np.nanmax(values)
    if high == low:
        return np.where(np.isnan(values), np.nan, 0).astype(np.float32)
    return ((values - low) / (high - low)).astype(np.float32)


def save_map(values: np.ndarray, folder: str | Path, name: str) -> tuple[Path, Path]:
    """Write a map (H, W) as `name.npy`, raw, and as `name.png`, normalised, NaN shown as 0."""
    folder = Path(folder)
    picture = magnitude_scale(1.0).rgb(np.nan_to_num(normalised(values)))
    return (
        write_atomically(folder / f"{name}.npy", npy_bytes(values)),
        write_atomically(folder / f"{name}.png", png_bytes(picture)),
    )
