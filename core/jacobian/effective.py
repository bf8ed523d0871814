"""The effective receptive field: where the mass of the gradients lies within the structural one."""

from dataclasses import dataclass

import numpy as np

from ..segmenter import Image, Segmenter
from ..target import Space, Target
from .colouring import Plan
from .passes import PassRunner
from .store_layout import centred_shape
from .summaries import PassWindows, magnitude
from .support import structural_support

FRACTIONS = (0.5, 0.9, 0.99)


@dataclass(frozen=True, eq=False)
class EffectiveReceptiveField:
    """The mean |row| of a sample of output pixels, each centred on its own pixel (Luo et al. 2016).

    Attributes:
        mean: Float64 (h, w), the mean magnitude at each offset from the pixel.
        centre: Row and column of the pixel itself in `mean`.
        num_pixels: How many rows it is the mean of.
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
) -> EffectiveReceptiveField:
    """The effective receptive field from a random sample of output pixels, without a Jacobian at hand.

    Pixels whose structural window the border cuts are left out where there are others.

    Raises:
        UserError: The image or the class does not fit the network.
    """
    batch = segmenter.as_batch(image, single=True)[0].detach().cpu().numpy()
    size = batch.shape[1:]
    segmenter.findings(size)
    Target.pixel(0, 0, class_index, space).check(segmenter.num_classes, size)
    field = structural_support(segmenter, size)
    plan = Plan(field, (), (), np.zeros((0, 2), np.int64), np.ones(size, dtype=bool))
    rows, columns = np.nonzero(sampled_pixels(plan))
    chosen = np.random.default_rng(seed).choice(len(rows), min(num_pixels, len(rows)), replace=False)
    runner = PassRunner(segmenter, batch, class_index, space)
    total = np.zeros(centred_shape(plan))
    for row, column in zip(rows[chosen], columns[chosen], strict=True):
        outputs = np.zeros((1, *size), np.float32)
        outputs[0, row, column] = 1
        window = field.window(int(row), int(column))
        _add(total, magnitude(runner(outputs)[0])[window], (field.up, field.left), (row, column), window)
    return EffectiveReceptiveField(total / len(chosen), (field.up, field.left), len(chosen))


def sampled_pixels(plan: Plan) -> np.ndarray:
    """Bool (H, W): the selected pixels whose windows the border does not cut, or all selected where it cuts each."""
    rows, columns = plan.field.rows, plan.field.columns
    whole_rows = (rows.first > 0) & (rows.last < len(rows) - 1)
    whole_columns = (columns.first > 0) & (columns.last < len(columns) - 1)
    whole = plan.selected & whole_rows[:, None] & whole_columns
    return whole if whole.any() else plan.selected


def add_centred(total: np.ndarray, windows: PassWindows, magnitudes: np.ndarray, plan: Plan) -> None:
    """Add the rows of a pass, each centred on its pixel, to `total`, leaving out pixels that are not sampled."""
    sampled = sampled_pixels(plan)
    for row in windows.rows.positions:
        for column in windows.columns.positions:
            if sampled[row, column]:
                window = plan.field.window(row, column)
                _add(total, magnitudes[window], (plan.field.up, plan.field.left), (row, column), window)


def _add(
    total: np.ndarray,
    magnitudes: np.ndarray,
    centre: tuple[int, int],
    pixel: tuple[int, int],
    window: tuple[slice, slice],
) -> None:
    top = window[0].start - pixel[0] + centre[0]
    left = window[1].start - pixel[1] + centre[1]
    total[top : top + magnitudes.shape[0], left : left + magnitudes.shape[1]] += magnitudes
