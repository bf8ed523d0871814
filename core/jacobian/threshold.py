"""Threshold maps: how many input pixels each output pixel listens to, and the boxes around them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ..display.colours import magnitude_scale, png_bytes
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically
from .encoding import decode
from .store import JacobianStore
from .summaries import STATISTICS, magnitude
from .summary_maps import SummaryMaps

Definition = Literal["absolute", "original"]
Source = Literal["rows", "histogram"]

DEFINITIONS: tuple[Definition, ...] = get_args(Definition)
SOURCES: tuple[Source, ...] = get_args(Source)
_SCALE = STATISTICS.index("scale")


@dataclass(frozen=True)
class ThresholdMaps:
    """Maps of what lies above a threshold, from rows or from summaries.

    Attributes:
        store: The Jacobian's store.
        summaries: Its summaries.
    """

    store: JacobianStore
    summaries: SummaryMaps

    def maximum(self, definition: Definition) -> float:
        """The largest magnitude ("absolute") or the largest signed value ("original") over all rows computed."""
        if definition not in DEFINITIONS:
            raise UserError(f'A threshold is {" or ".join(DEFINITIONS)}; "{definition}" was given.')
        values = self.summaries.statistic("maximum" if definition == "absolute" else "signed_maximum")
        return 0.0 if np.isnan(values).all() else max(float(np.nanmax(values)), 0.0)

    def threshold(
        self, proportion: float, definition: Definition, source: Source | None, *, for_boxes: bool = False
    ) -> np.float32:
        """The threshold itself; from histograms, moved to the nearest level that they keep."""
        if not 0 <= proportion <= 1:
            raise UserError(f"The proportion of the maximum is between 0 and 1; {proportion} was given.")
        threshold = np.float32(proportion) * np.float32(self.maximum(definition))
        if self.source(source) == "rows":
            return threshold
        levels = self.store.bins.box_levels if for_boxes else self.store.bins.edges
        if proportion > 0 and threshold < levels[0] / 2:
            raise UserError(
                f"The summaries resolve magnitudes down to {levels[0]:.2g}, and the proportion {proportion:g} of the "
                f"maximum is {threshold:.2g}; take a larger proportion, or keep rows."
            )
        nearest = levels[np.abs(np.log(levels) - np.log(max(threshold, levels[0]))).argmin()]
        # Bins count what reaches their edge, a threshold what exceeds it.
        return np.nextafter(nearest, np.float32(0))

    def counts(
        self, proportion: float, definition: Definition, source: Source | None, *, for_boxes: bool = False
    ) -> np.ndarray:
        """Float32 (H, W): the input pixels above the threshold, NaN where no row is computed."""
        threshold = self.threshold(proportion, definition, source, for_boxes=for_boxes)
        if self.source(source) == "rows":
            return self._scan_rows(threshold)[0]
        first_bin = int(np.searchsorted(self.store.bins.edges, threshold, side="right"))
        return self.summaries.gather(
            "histogram", lambda bins: bins[..., first_bin:].sum(axis=-1, dtype=np.float32), np.nan
        )

    def boxes(self, proportion: float, definition: Definition, source: Source | None) -> np.ndarray:
        """Int32 (H, W, 4): top, left, bottom, right of the box around what is above the threshold; zeros for none."""
        threshold = self.threshold(proportion, definition, source, for_boxes=True)
        if self.source(source) == "rows":
            return self._scan_rows(threshold)[1]
        level = int(np.searchsorted(self.store.bins.box_levels, threshold, side="right"))
        return self.summaries.gather("boxes", lambda boxes: boxes[..., level, :].astype(np.int32), 0)

    def areas(self, boxes: np.ndarray) -> np.ndarray:
        """Float32 (H, W): the area of each box, NaN where no row is computed."""
        areas = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).astype(np.float32)
        areas[~self.summaries.computed] = np.nan
        return areas

    def counts_and_boxes(
        self, proportion: float, definition: Definition, source: Source | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Counts and boxes for one and the same threshold, reading rows once."""
        if self.source(source) == "rows":
            return self._scan_rows(self.threshold(proportion, definition, source))
        counts = self.counts(proportion, definition, source, for_boxes=True)
        return counts, self.boxes(proportion, definition, source)

    def source(self, source: Source | None) -> Source:
        """The source asked for, or the exact one if there is a choice."""
        if source is not None and source not in SOURCES:
            raise UserError(f'Maps come from {" or ".join(SOURCES)}; "{source}" was given.')
        if source == "rows" and not self.store.manifest.keep_rows:
            raise UserError(f"{self.store.path} keeps summaries only; take the histogram as the source.")
        return source or ("rows" if self.store.manifest.keep_rows else "histogram")

    def _scan_rows(self, threshold: np.float32) -> tuple[np.ndarray, np.ndarray]:
        plan = self.store.plan
        # The boxes hold what reaches a level; the next float above the threshold is the least that exceeds it.
        level = np.nextafter(threshold, np.float32(np.inf), dtype=np.float32)
        counts = np.full(plan.size, np.nan, np.float32)
        boxes = np.zeros((*plan.size, 4), np.int32)
        for block in sorted(self.store.finished()):
            for index, gradient in stored_passes(self.store, block):
                windows = self.store.windows[index]
                magnitudes = magnitude(gradient)
                pixels = np.ix_(windows.rows.positions, windows.columns.positions)
                counts[pixels] = windows.reduce(np.add, (magnitudes >= level).astype(np.int32))
                boxes[pixels] = windows.boxes(magnitudes, level[None])[..., 0, :]
        counts[~plan.selected] = np.nan
        boxes[~plan.selected] = 0
        return counts, boxes


def stored_passes(store: JacobianStore, block: int) -> Iterator[tuple[int, np.ndarray]]:
    """The passes of a finished block and their gradient images float32 (C, H, W)."""
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
