"""Infidelity and sensitivity-n: does the map say by how much the score drops when some pixels go?"""

from dataclasses import dataclass

import numpy as np
import torch

from ...errors import UserError
from .perturbed import PerturbedRuns

DEFAULT_FRACTIONS = (0.05, 0.1, 0.2, 0.4)
DEFAULT_SUBSETS = 128
DEFAULT_CELL = 8
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Removals:
    """What really happened to the score when random sets of pixels were taken away.

    The same sets serve every map of the target: the network runs once, however many maps are compared.

    Attributes:
        subsets: Bool (N, h, w): which cells of `cell` × `cell` pixels went.
        cell: In pixels.
        eligible: Bool (H, W), the pixels that may go.
        fractions: Float64 (N,), of the cells, that were drawn.
        drops: Float64 (N,), score of the image minus score without them.
    """

    subsets: np.ndarray
    cell: int
    eligible: np.ndarray
    fractions: np.ndarray
    drops: np.ndarray

    def predicted_by(self, drops: np.ndarray) -> np.ndarray:
        """Of each set, the drop that a map (H, W) of drops a pixel says: the sum over its pixels, float64 (N,)."""
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
        fractions: Of the cells that go, each in equally many sets; rounded to whole cells, at least one.
        n_subsets: Sets in all.
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

    drops = runs.ends["score"][0] - runs.run(images, n_subsets)["score"]
    return Removals(grid, cell, runs.eligible, chosen, drops)


def infidelity(drops: np.ndarray, removals: Removals, *, scaled: bool = False) -> float:
    """E[(what the map says - what happened)²] over the sets, in squared units of the score.

    Yeh et al., "On the (in)fidelity and sensitivity of explanations", 2019, with sets of pixels set to their fill as
    the perturbation. Of all pixels at once, it is the squared convergence delta of Integrated Gradients.

    Args:
        drops: (H, W), by how much the map says the score drops when a pixel goes; see `predicted_drops`.
        removals: Of `sample_removals`.
        scaled: For maps without a unit, such as CAMs: the map may be scaled by a factor that is not negative, and the
            same amount added at every pixel, as suits it best; the result is divided by that of the amount alone. 0 is
            a perfect map, 1 one that adds nothing to “every pixel matters the same”.

    Returns:
        NaN where it is scaled and nothing happened but what the number of pixels tells.
    """
    said = removals.predicted_by(np.asarray(drops, dtype=np.float64))
    happened = removals.drops
    if not scaled:
        return float(np.mean((said - happened) ** 2))
    counts = removals.predicted_by(np.ones(drops.shape))[:, None]
    ours, true = _residuals(said, counts), _residuals(happened, counts)
    if not true.any():
        return float("nan")
    length = float(ours @ ours)
    factor = max(0.0, float(ours @ true) / length) if length else 0.0
    return float(np.sum((factor * ours - true) ** 2) / (true @ true))


def sensitivity_n(drops: np.ndarray, removals: Removals) -> float:
    """Pearson's correlation of what the map says and what happened, in [-1, 1]; 1 is perfect.

    Ancona et al., "Towards better understanding of gradient-based attribution methods", 2018. Taken among the sets of
    the same number of cells, and averaged over these numbers; what the number of pixels alone tells is taken out of
    both first, as cells at the image's edge, or cut by what may not go, are smaller. NaN where nothing is left of one.
    """
    return float(np.mean(found)) if (found := list(sensitivities(drops, removals).values())) else float("nan")


def sensitivities(drops: np.ndarray, removals: Removals) -> dict[float, float]:
    """Of `sensitivity_n`: the correlation by the fraction that was taken away, those left out that have none."""
    said = removals.predicted_by(np.asarray(drops, dtype=np.float64))
    counts = removals.predicted_by(np.ones(drops.shape))
    found = {}
    for fraction in np.unique(removals.fractions):
        these = removals.fractions == fraction
        known = np.column_stack((np.ones(these.sum()), counts[these]))
        ours, true = _residuals(said[these], known), _residuals(removals.drops[these], known)
        if ours.any() and true.any():
            found[float(fraction)] = float(ours @ true / (np.linalg.norm(ours) * np.linalg.norm(true)))
    return found


def _residuals(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What a linear fit by the columns of `known` (N, m) leaves of values (N,); 0 where that is only rounding."""
    left = values - known @ np.linalg.lstsq(known, values)[0]
    return left if np.linalg.norm(left) > _ROUNDING * np.linalg.norm(values) else np.zeros_like(left)


def _cell_numbers(size: tuple[int, ...], cell: int) -> np.ndarray:
    """Of each pixel, the number of its cell, int (H, W)."""
    rows, columns = np.arange(size[0]) // cell, np.arange(size[1]) // cell
    return rows[:, None] * (columns[-1] + 1) + columns
