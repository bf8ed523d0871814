"""Random sets of pixels taken away: what infidelity and sensitivity-n hold a map against."""

from dataclasses import dataclass

import numpy as np
import torch

from ..attribution.settings import setting
from ..errors import UserError
from .perturbed_runs import PerturbedRuns

DEFAULT_FRACTIONS = (0.05, 0.1, 0.2, 0.4)
DEFAULT_SUBSETS = 128
DEFAULT_CELL = 8
_ROUNDING = 1e-6


@dataclass(frozen=True)
class SubsetSettings:
    """Settings of infidelity and sensitivity-n."""

    n_subsets: int = setting(
        DEFAULT_SUBSETS, label="Random sets", option="subsets", low=len(DEFAULT_FRACTIONS),
        high=4096, help="Random sets of patches of infidelity and sensitivity-n.",
    )  # fmt: skip
    cell: int = setting(
        DEFAULT_CELL, label="Patch side", low=1, high=256,
        help="Side in pixels of the patches that the random sets of infidelity and sensitivity-n are made of.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.n_subsets < len(DEFAULT_FRACTIONS):
            raise UserError(
                f"Infidelity and sensitivity-n need at least {len(DEFAULT_FRACTIONS)} subsets, better 64; "
                f"{self.n_subsets} was given."
            )
        if self.cell < 1:
            raise UserError(f"A cell has at least one pixel a side; {self.cell} was given.")


@dataclass(frozen=True, eq=False)
class Removals:
    """What really happened to the score when random sets of pixels were taken away.

    The same sets serve every map of the target: the network runs once, however many maps are compared.

    Attributes:
        subsets: Bool (N, h, w): which cells of `cell` × `cell` pixels went.
        cell: Side of a cell in pixels.
        eligible: Bool (H, W), the pixels that may go.
        fractions: Float64 (N,), the fraction of the cells that was drawn.
        drops: Float64 (N,), score of the image minus score without them.
    """

    subsets: np.ndarray
    cell: int
    eligible: np.ndarray
    fractions: np.ndarray
    drops: np.ndarray

    def predicted_by(self, drops: np.ndarray) -> np.ndarray:
        """The drop of each set by a map (H, W) of drops per pixel: the sum over the set's pixels, float64 (N,)."""
        if drops.shape != self.eligible.shape:
            raise UserError(f"The map is {drops.shape}, the image {self.eligible.shape}; they must be of one size.")
        cells = _cell_numbers(drops.shape, self.cell)
        sums = np.bincount(cells[self.eligible], drops[self.eligible], self.subsets[0].size)
        return np.array([sums[subset.ravel()].sum() for subset in self.subsets])


def sample_removals(
    runs: PerturbedRuns,
    fractions: tuple[float, ...] = DEFAULT_FRACTIONS,
    n_subsets: int = DEFAULT_SUBSETS,
    cell: int = DEFAULT_CELL,
) -> Removals:
    """Takes random sets of cells away and notes how far the score drops.

    Args:
        runs: The target, the fill.
        fractions: Fractions of the cells that go, each in equally many sets; rounded to whole cells, at least one.
        n_subsets: Number of sets in all.
        cell: Side of a cell in pixels. 1 takes single pixels, as the papers do on small images; on large ones these are
            noise to a network, whatever pixels they are.

    Raises:
        UserError: Settings that make no sense.
    """
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
        raise UserError("The fractions of what is taken away lie above 0 and are at most 1.")
    if n_subsets < len(fractions) or cell < 1:
        raise UserError("Every fraction needs at least one set, and a cell at least one pixel.")
    rows, columns = (-(-side // cell) for side in runs.size)
    generator = np.random.default_rng(runs.settings.seed)
    chosen = np.resize(np.asarray(fractions, dtype=np.float64), n_subsets)
    subsets = np.zeros((n_subsets, rows * columns), dtype=bool)
    there = np.unique(_cell_numbers(runs.size, cell)[runs.eligible])
    for subset, fraction in zip(subsets, chosen, strict=True):
        subset[generator.choice(there, max(1, round(fraction * len(there))), replace=False)] = True
    grid = subsets.reshape(n_subsets, rows, columns)
    eligible = torch.from_numpy(runs.eligible).to(runs.image.device)
    height, width = runs.size

    def images(start: int, stop: int) -> torch.Tensor:
        cells = torch.from_numpy(grid[start:stop]).to(eligible.device)
        pixels = cells.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :height, :width] & eligible
        return torch.where(pixels[:, None], runs.fill, runs.image)

    drops = runs.unchanged["score"][0] - runs.run(images, n_subsets)["score"]
    return Removals(grid, cell, runs.eligible, chosen, drops)


def residuals(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What a linear fit by the columns of `known` (N, m) leaves of values (N,); 0 where that is only rounding."""
    left = values - known @ np.linalg.lstsq(known, values)[0]
    return left if np.linalg.norm(left) > _ROUNDING * np.linalg.norm(values) else np.zeros_like(left)


def _cell_numbers(size: tuple[int, ...], cell: int) -> np.ndarray:
    """The number of each pixel's cell, int (H, W)."""
    rows, columns = np.arange(size[0]) // cell, np.arange(size[1]) // cell
    return rows[:, None] * (columns[-1] + 1) + columns
