"""The effective receptive field: where the mass of the gradients lies within the structural one."""

from dataclasses import dataclass

import numpy as np

from ..receptive_field import ReceptiveField, structural_support
from ..segmenter import Image, Segmenter
from ..target import Score, Space
from .colouring import Plan
from .passes import PassRunner
from .request import checked_image
from .row_summaries import PassWindows, magnitude

FRACTIONS = (0.5, 0.9, 0.99)


@dataclass(frozen=True, eq=False)
class EffectiveReceptiveField:
    """The mean |row| of a sample of output pixels, each centred on its own pixel (Luo et al. 2016).

    Attributes:
        mean: Float64 (h, w), the mean magnitude at each offset from the pixel.
        centre: Row and column of the pixel itself in `mean`.
        num_pixels: Number of rows that it is the mean of.
    """

    mean: np.ndarray
    centre: tuple[int, int]
    num_pixels: int

    def radius(self, fraction: float) -> float:
        """Radius in pixels of the smallest disc around the pixel that holds this fraction of the mass."""
        rows = np.arange(self.mean.shape[0])[:, None] - self.centre[0]
        columns = np.arange(self.mean.shape[1]) - self.centre[1]
        squared = (rows**2 + columns**2).ravel()
        mass_at = np.bincount(squared, weights=self.mean.ravel())
        mass = np.cumsum(mass_at)
        if mass[-1] <= 0:
            return float("nan")
        # Sums in another order may fall short of the whole by rounding.
        return float(np.sqrt(np.searchsorted(mass, fraction * mass[-1] * (1 - 1e-12))))

    @property
    def radii(self) -> dict[float, float]:
        """The radii that hold 50, 90 and 99 % of the mass, in pixels."""
        return {fraction: self.radius(fraction) for fraction in FRACTIONS}


def effective_receptive_field(
    segmenter: Segmenter,
    image: Image,
    class_index: int = 1,
    space: Space = "probability",
    num_pixels: int = 64,
    seed: int = 0,
    against: int | None = None,
) -> EffectiveReceptiveField:
    """The effective receptive field from a random sample of output pixels, without a stored Jacobian.

    Pixels whose structural window the border cuts are left out where there are others.

    Raises:
        UserError: The image or the class does not fit the network.
    """
    score = Score(class_index, space, against)
    values = checked_image(segmenter, image, score)
    field = structural_support(segmenter, values.shape[1:])
    rows, columns = np.nonzero(sampled_pixels(field, np.ones(field.size, dtype=bool)))
    chosen = np.random.default_rng(seed).choice(len(rows), min(num_pixels, len(rows)), replace=False)
    runner = PassRunner(segmenter, values, score)
    total = np.zeros(field.centred_shape)
    for row, column in zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True):
        _add_row(total, field, (row, column), magnitude(runner.row(row, column)))
    return EffectiveReceptiveField(total / len(chosen), field.centre, len(chosen))


def sampled_pixels(field: ReceptiveField, selected: np.ndarray) -> np.ndarray:
    """Bool (H, W): the selected pixels whose windows the border does not cut, or all selected where it cuts each."""
    rows, columns = field.rows, field.columns
    whole_rows = (rows.first > 0) & (rows.last < len(rows) - 1)
    whole_columns = (columns.first > 0) & (columns.last < len(columns) - 1)
    whole = selected & whole_rows[:, None] & whole_columns
    return whole if whole.any() else selected


def add_centred(total: np.ndarray, windows: PassWindows, magnitudes: np.ndarray, plan: Plan) -> None:
    """Add the rows of a pass, each centred on its pixel, to `total`, leaving out pixels that are not sampled."""
    sampled = sampled_pixels(plan.reach, plan.selected)
    for row in windows.rows.positions:
        for column in windows.columns.positions:
            if sampled[row, column]:
                _add_row(total, plan.reach, (row, column), magnitudes)


def _add_row(total: np.ndarray, field: ReceptiveField, pixel: tuple[int, int], magnitudes: np.ndarray) -> None:
    window = field.window(*pixel)
    top, left = (part.start - own + middle for part, own, middle in zip(window, pixel, field.centre, strict=True))
    row = magnitudes[window]
    total[top : top + row.shape[0], left : left + row.shape[1]] += row
