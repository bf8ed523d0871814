"""The footprint of one map: the pixels above a threshold, their bounding box, and where the mass lies."""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError

RADII = (8, 16, 32)


@dataclass(frozen=True)
class BoundingBox:
    """The smallest box around a set of pixels, in image coordinates; `bottom` and `right` are inside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left + 1

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width


@dataclass(frozen=True, eq=False)
class Footprint:
    """What a threshold leaves of one map.

    Attributes:
        threshold: In the unit of the map.
        above: bool (H, W), magnitude > threshold.
        count: Number of pixels above.
        box: Around them; None where there are none.
        fulfilment: count / box area; NaN where there is no box.
    """

    threshold: float
    above: np.ndarray
    count: int
    box: BoundingBox | None
    fulfilment: float


def magnitude_of(values: np.ndarray) -> np.ndarray:
    """√Σ_c values² of a map (C, h, w), float32 (h, w)."""
    return np.sqrt(np.square(values).sum(axis=0)) if len(values) > 1 else np.abs(values[0])


def footprint(magnitude: np.ndarray, proportion: float | None = None, threshold: float | None = None) -> Footprint:
    """The pixels whose magnitude exceeds a threshold.

    Args:
        magnitude: (H, W), not negative.
        proportion: The threshold is this proportion, in [0, 1], of the map's own maximum.
        threshold: The threshold itself, in the unit of the map. Give one of the two.

    Raises:
        UserError: Neither or both are given, or one is out of range.
    """
    if (proportion is None) == (threshold is None):
        raise UserError("Give either a proportion of the maximum or a threshold.")
    if proportion is not None and not 0 <= proportion <= 1:
        raise UserError(f"The proportion of the maximum lies between 0 and 1; {proportion} was given.")
    limit = threshold if threshold is not None else float(proportion or 0.0) * float(magnitude.max())
    if not limit >= 0:
        raise UserError(f"A threshold on magnitudes is not negative; {limit} was given.")
    above = magnitude > np.float64(limit)  # a plain number would be rounded to the map's precision first
    count = int(above.sum())
    box = bounding_box(above)
    return Footprint(limit, above, count, box, count / box.area if box else float("nan"))


def bounding_box(mask: np.ndarray) -> BoundingBox | None:
    """The smallest box around the true pixels of a mask (H, W); None where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    return BoundingBox(int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))


def share_within(magnitude: np.ndarray, row: int, column: int, radius: float) -> float:
    """The share of Σ magnitude at most `radius` pixels (Euclidean) from (row, column); NaN for a map of zeros."""
    total = float(magnitude.sum(dtype=np.float64))
    if total == 0:
        return float("nan")
    rows, columns = np.ogrid[: magnitude.shape[0], : magnitude.shape[1]]
    inside = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return float(magnitude[inside].sum(dtype=np.float64)) / total
