"""Summaries of a row: histogram of magnitudes, extremes, sum, centroid and boxes.

All are taken from the gradient image of a whole pass at once. The windows of a pass do not meet, so reducing along
one axis window by window, then along the other, gives the number of every window.

The **magnitude** of a row at an input pixel is |J| for one channel and √(Σ over channels of J²) for several.
"""

from dataclasses import dataclass

import numpy as np

from ..receptive_field import AxisSupport
from .colouring import Plan

BINS_PER_OCTAVE = 8
NUM_OCTAVES = 16
NUM_BINS = BINS_PER_OCTAVE * NUM_OCTAVES
STATISTICS = (
    "maximum",
    "signed_maximum",
    "signed_minimum",
    "sum",
    "centroid_row",
    "centroid_column",
    "scale",
    "error_bound",
)
"""For each row: the largest magnitude, the largest and the smallest signed value, the sum of the magnitudes, their
centroid in image coordinates, the scale of the stored values and the largest error that storing them made."""

_SHIFT = 20
"""A float32 read as an integer and shifted so far counts eighths of an octave, so bin edges are exact floats."""


@dataclass(frozen=True)
class Histogram:
    """The bins of magnitudes: eight to an octave, linear within it, so that every edge is an exact float32.

    Attributes:
        lowest: The lowest edge, as the bits of a float32 shifted right by 20.
    """

    lowest: int

    @classmethod
    def below(cls, magnitude: float) -> "Histogram":
        """A histogram whose upper end leaves room for magnitudes eight times as large as this one."""
        top = np.array(max(magnitude, 1e-30), np.float32).view(np.int32) >> _SHIFT
        return cls(max(int(top) + 3 * BINS_PER_OCTAVE - NUM_BINS, 1))

    @property
    def edges(self) -> np.ndarray:
        """Float32 (NUM_BINS,), the lower edge of each bin; the last bin has no upper end."""
        return ((self.lowest + np.arange(NUM_BINS, dtype=np.int32)) << _SHIFT).view(np.float32)

    @property
    def box_levels(self) -> np.ndarray:
        """Float32 (NUM_OCTAVES,), the magnitudes at which bounding boxes are kept: one per octave."""
        return self.edges[::BINS_PER_OCTAVE]

    def bins(self, magnitudes: np.ndarray) -> np.ndarray:
        """Bin of each float32 magnitude, counted from 1; 0 for what lies below the lowest edge."""
        bins = (magnitudes.view(np.int32) >> _SHIFT) - (self.lowest - 1)
        return np.clip(bins, 0, NUM_BINS, out=bins)


class Windows:
    """Disjoint windows along one axis, for reducing an array window by window.

    Args:
        support: Support of the axis.
        positions: Output positions of one colour, ordered by their supports.
    """

    def __init__(self, support: AxisSupport, positions: np.ndarray) -> None:
        self.positions = positions
        self.first = support.first[positions]
        self.stop = support.last[positions] + 1
        self._is_whole = len(positions) == 1 and self.first[0] == 0 and self.stop[0] == len(support)
        self._boundaries = np.stack((self.first, self.stop), axis=1).ravel()
        self._boundaries = self._boundaries[: -1 if self.stop[-1] == len(support) else None]
        self.label = np.zeros(len(support), np.int64)
        """The window of each input position; what lies in none is given to window 0, where its zeros add nothing."""
        for index, (first, stop) in enumerate(zip(self.first, self.stop, strict=True)):
            self.label[first:stop] = index
        edges = zip([0, *self.stop], [*self.first, len(support)], strict=True)
        self.gaps = tuple(slice(int(start), int(end)) for start, end in edges if start < end)
        """What lies in no window."""

    def __len__(self) -> int:
        return len(self.positions)

    def reduce(self, ufunc: np.ufunc, values: np.ndarray, axis: int) -> np.ndarray:
        """Values reduced within each window along `axis`."""
        if self._is_whole:
            return ufunc.reduce(values, axis=axis, keepdims=True)
        reduced = ufunc.reduceat(values, self._boundaries, axis=axis)
        return reduced[(slice(None),) * axis + (slice(None, None, 2),)]

    def extents(self, reached: np.ndarray, num_levels: int) -> tuple[np.ndarray, np.ndarray]:
        """Where each level is reached: the first position and the one after the last; 0 and 0 where it is nowhere.

        Args:
            reached: Int (N, M), how many of the levels, from the lowest, are reached at each position of the axis.
            num_levels: L.

        Returns:
            Two arrays (windows, M, L).
        """
        length, others = reached.shape
        index = ((self.label[:, None] * others + np.arange(others)) * (num_levels + 1) + reached).ravel()
        position = np.repeat(np.arange(length), others)
        first = np.full(len(self) * others * (num_levels + 1), length)
        stop = np.zeros_like(first)
        # Where an index repeats, the last assignment stays.
        first[index[::-1]] = position[::-1]
        stop[index] = position + 1
        shape = (len(self), others, num_levels + 1)
        first = np.minimum.accumulate(first.reshape(shape)[..., ::-1], axis=-1)[..., ::-1][..., 1:]
        stop = np.maximum.accumulate(stop.reshape(shape)[..., ::-1], axis=-1)[..., ::-1][..., 1:]
        return np.where(stop > 0, first, 0), stop


@dataclass(frozen=True, eq=False)
class PassWindows:
    """The windows rows × columns of one pass; results are arrays (row windows, column windows).

    Attributes:
        rows: The windows along the rows.
        columns: The windows along the columns.
        selected: Bool (row windows, column windows), those whose pixels are wanted.
    """

    rows: Windows
    columns: Windows
    selected: np.ndarray

    def reduce(self, ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
        """Values (H, W) reduced within each window."""
        return self.rows.reduce(ufunc, self.columns.reduce(ufunc, values, 1), 0)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values (row windows, column windows) -> (H, W), each window filled with its value."""
        return values[self.rows.label[:, None], self.columns.label]

    def boxes(self, magnitudes: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Boxes (row windows, column windows, levels, 4) around the magnitudes that reach each level.

        A box is (top, left, bottom, right) in image coordinates, bottom and right just outside; zeros if it is empty.
        """
        return self.boxes_of_profiles(
            self.columns.reduce(np.maximum, magnitudes, 1), self.rows.reduce(np.maximum, magnitudes, 0), levels
        )

    def boxes_of_profiles(self, by_row: np.ndarray, by_column: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """The same from the largest magnitudes of each row (H, column windows) and column (row windows, W)."""
        by_row = np.searchsorted(levels, by_row, side="right")
        by_column = np.searchsorted(levels, by_column, side="right")
        top, bottom = self.rows.extents(by_row, len(levels))
        left, right = (extent.transpose(1, 0, 2) for extent in self.columns.extents(by_column.T, len(levels)))
        return np.stack((top, left, bottom, right), axis=-1)

    def histogram(self, magnitudes: np.ndarray, bins: Histogram) -> np.ndarray:
        """Counts (row windows, column windows, NUM_BINS)."""
        window = self.rows.label[:, None] * len(self.columns) + self.columns.label
        flat = window * (NUM_BINS + 1) + bins.bins(magnitudes)
        num_windows = len(self.rows) * len(self.columns)
        counts = np.bincount(flat.ravel(), minlength=num_windows * (NUM_BINS + 1))
        return counts.reshape(len(self.rows), len(self.columns), NUM_BINS + 1)[..., 1:]


class PlannedWindows:
    """The windows of every pass of a plan; the passes of a colour share theirs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows = [Windows(plan.field.rows, positions) for positions in plan.rows]
        self._columns = [Windows(plan.field.columns, positions) for positions in plan.columns]

    def __getitem__(self, index: int) -> PassWindows:
        row_colour, column_colour = self._plan.passes[index]
        rows, columns = self._rows[row_colour], self._columns[column_colour]
        return PassWindows(rows, columns, self._plan.selected[rows.positions[:, None], columns.positions])


def magnitude(gradient: np.ndarray) -> np.ndarray:
    """Magnitudes (…, H, W) float32 of gradients (…, C, H, W): |g| for one channel, √(Σ g²) over several."""
    if gradient.shape[-3] == 1:
        return np.abs(gradient[..., 0, :, :])
    return np.sqrt(np.square(gradient, dtype=np.float64).sum(axis=-3)).astype(np.float32)


def summarise(windows: PassWindows, gradient: np.ndarray, bins: Histogram) -> dict[str, np.ndarray]:
    """The summaries of a pass from its gradient image float32 (C, H, W).

    Returns:
        Arrays (row windows, column windows, …): "statistics" float32 (…, len(STATISTICS)), "histogram" int
        (…, NUM_BINS), and "boxes" int (…, NUM_OCTAVES, 4) at `Histogram.box_levels`.
    """
    magnitudes = magnitude(gradient)
    rows, columns = windows.rows, windows.columns
    largest, smallest = (
        (gradient[0], gradient[0]) if len(gradient) == 1 else (gradient.max(axis=0), gradient.min(axis=0))
    )
    # By row of the image within each column window first; the reductions over rows then have little left to do.
    largest_by_row = columns.reduce(np.maximum, largest, 1)
    smallest_by_row = columns.reduce(np.minimum, smallest, 1)
    one_channel = np.maximum(largest_by_row, -smallest_by_row)
    magnitude_by_row = one_channel if len(gradient) == 1 else columns.reduce(np.maximum, magnitudes, 1)
    magnitude_by_column = rows.reduce(np.maximum, magnitudes, 0)
    sum_by_row = columns.reduce(np.add, magnitudes, 1).astype(np.float64)
    sum_by_column = rows.reduce(np.add, magnitudes, 0).astype(np.float64)
    total = rows.reduce(np.add, sum_by_row, 0)
    row_moment = rows.reduce(np.add, sum_by_row * np.arange(len(sum_by_row))[:, None], 0)
    column_moment = columns.reduce(np.add, sum_by_column * np.arange(sum_by_column.shape[1]), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        centroid_row, centroid_column = row_moment / total, column_moment / total
    signed_maximum = rows.reduce(np.maximum, largest_by_row, 0)
    signed_minimum = rows.reduce(np.minimum, smallest_by_row, 0)
    scale = np.maximum(signed_maximum, -signed_minimum)
    statistics = np.stack(
        (
            rows.reduce(np.maximum, magnitude_by_row, 0),
            signed_maximum,
            signed_minimum,
            total,
            centroid_row,
            centroid_column,
            scale,
            np.zeros_like(scale),
        ),
        axis=-1,
    ).astype(np.float32)
    boxes = windows.boxes_of_profiles(magnitude_by_row, magnitude_by_column, bins.box_levels)
    return {"statistics": statistics, "histogram": windows.histogram(magnitudes, bins), "boxes": boxes}
