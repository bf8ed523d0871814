"""How far maps agree on which pixels matter."""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

from ..compute.progress import Progress


def rank_correlation(first: np.ndarray, second: np.ndarray) -> tuple[float, int]:
    """Spearman's ρ between two arrays of one shape, and the number of entries where both are finite.

    NaN where fewer than three are, or where one of the two is constant.
    """
    known = np.isfinite(first) & np.isfinite(second)
    count = int(known.sum())
    if count < 3:
        return float("nan"), count
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(stats.spearmanr(first[known], second[known]).statistic), count


def rank_correlations(maps: Sequence[np.ndarray], progress: Progress | None = None) -> np.ndarray:
    """Spearman's ρ of every pair of maps of one shape, float64 (n, n); the progress counts pairs."""
    found = np.eye(len(maps))
    pairs = [(first, second) for first in range(len(maps)) for second in range(first)]
    for done, (first, second) in enumerate(pairs, 1):
        found[first, second] = found[second, first] = rank_correlation(maps[first], maps[second])[0]
        if progress is not None:
            progress(done, len(pairs))
    return found
