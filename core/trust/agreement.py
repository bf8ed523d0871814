"""How far maps agree on which pixels matter."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ..compute.progress import Progress

_FEWEST = 3


def rank_correlation(first: np.ndarray, second: np.ndarray) -> tuple[float, int]:
    """Spearman's ρ between two arrays of one shape, and the number of entries where both are finite.

    NaN where fewer than three are, or where one of the two is constant.
    """
    known = np.isfinite(first) & np.isfinite(second)
    count = int(known.sum())
    if count < _FEWEST:
        return float("nan"), count
    return float(_correlations([stats.rankdata(values[known]) for values in (first, second)])[0, 1]), count


def rank_correlations(maps: Sequence[np.ndarray], progress: Progress | None = None) -> np.ndarray:
    """Spearman's ρ of every pair of maps of one shape, float64 (n, n); the progress counts maps.

    A pair with values that are not finite is compared as `rank_correlation` does it.
    """
    found, ranks, whole = np.eye(len(maps)), [], []
    for index, values in enumerate(maps):
        if values.size >= _FEWEST and np.isfinite(values).all():
            ranks.append(stats.rankdata(values))
            whole.append(index)
        else:
            for other in range(len(maps)):
                if other != index:
                    found[index, other] = found[other, index] = rank_correlation(values, maps[other])[0]
        if progress is not None:
            progress(index + 1, len(maps))
    if len(whole) > 1:
        found[np.ix_(whole, whole)] = _correlations(ranks)
        np.fill_diagonal(found, 1)
    return found


def _correlations(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's correlation of every pair of rows; NaN for a row that is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(np.stack([row.ravel() for row in ranks]))
