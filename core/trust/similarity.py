"""How alike two maps are: in their ranks, as pictures, in their details, and in their most important pixels."""

from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np

from ..compute.progress import Progress
from ..errors import UserError

_FEWEST = 3
_WINDOW = 7
_SMALLEST_WINDOW = 3
DETAIL_SIGMA = 3.0
"""Sigma, in pixels, of the Gaussian that takes away what is coarser than a detail."""
FEWEST_PIXELS = 50
"""Fewest pixels for a correlation of details: for n unrelated ones it is about ±1/√n, so fewer tell nothing."""
AGREES = 0.95
"""Rank correlation from which on a map tells no more than a control."""


def rank_correlation(first: np.ndarray, second: np.ndarray) -> tuple[float, int]:
    """Spearman's ρ between two arrays of one shape, and the number of entries where both are finite.

    NaN where fewer than three are, or where one of the two is constant.
    """
    known = np.isfinite(first) & np.isfinite(second)
    count = int(known.sum())
    if count < _FEWEST:
        return float("nan"), count
    return float(_correlations([_ranks(values[known]) for values in (first, second)])[0, 1]), count


def rank_correlations(maps: Sequence[np.ndarray], progress: Progress | None = None) -> np.ndarray:
    """Spearman's ρ of every pair of maps of one shape, float64 (n, n); the progress counts maps.

    A pair with values that are not finite is compared as `rank_correlation` does it.
    """
    found, ranks, whole = np.eye(len(maps)), [], []
    for index, values in enumerate(maps):
        if values.size >= _FEWEST and np.isfinite(values).all():
            ranks.append(_ranks(values))
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


def agreeing_controls(
    table: np.ndarray, names: Sequence[str], controls: Collection[str], at_least: float = AGREES
) -> list[tuple[str, str, float]]:
    """The maps that rank the pixels as a control does, so that they could have been made without the network.

    Args:
        table: Spearman's ρ of every pair, (n, n), as `rank_correlations` gives it.
        names: Names of the n maps, the controls among them.
        controls: Names of the controls; they are not held against each other.
        at_least: Smallest ρ that counts.

    Returns:
        Map, control and their ρ, in the order of the maps and then of the names; a ρ that is NaN does not count.
    """
    return [
        (name, other, float(table[row, column]))
        for row, name in enumerate(names)
        for column, other in enumerate(names)
        if name not in controls and other in controls and table[row, column] >= at_least
    ]


def structural_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Mean SSIM of two maps (H, W), each divided by its largest magnitude first; in [-1, 1], 1 for equal maps.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, in uniform windows
    of 7×7 (fewer in a smaller image). Dividing keeps zero and the signs, and lets maps of different units, or of
    networks whose gradients differ in size, be compared. The data range is max - min over the two divided maps.

    Where both maps are near 0 they count as alike, so two maps that are 0 nearly everywhere have a high SSIM whatever
    their few large values do: read it beside the rank correlation.

    Returns:
        The mean over all windows; NaN where a map has values that are not finite, or fewer than 3 rows or columns.

    Raises:
        UserError: Maps of different sizes.
    """
    from skimage.metrics import structural_similarity as mean_ssim  # noqa: PLC0415 - slow to import

    _check_sizes(first, second)
    window = min(_WINDOW, *(length - 1 + length % 2 for length in first.shape))
    if window < _SMALLEST_WINDOW or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    maps = [values.astype(np.float64) / (float(np.abs(values).max()) or 1.0) for values in (first, second)]
    data_range = float(np.max(maps) - np.min(maps))
    if data_range == 0:
        return 1.0
    return float(mean_ssim(*maps, win_size=window, data_range=data_range))


def detail_correlation(first: np.ndarray, second: np.ndarray, sigma: float = DETAIL_SIGMA) -> float:
    """The correlation of two maps' details: of r - G_σ * r, with r the ranks of a map's values and G_σ a Gaussian.

    Maps of one target are alike in the large whatever the network does: they fade with the distance from its pixels,
    so their rank correlation is high for any two networks. What is left after the coarse part is taken away is not.
    Pixels at which both maps are 0 are left out: which ones a target can reach at all is the network's shape, not what
    it has learned.

    Args:
        first: (H, W).
        second: (H, W).
        sigma: Sigma of the Gaussian, in pixels.

    Returns:
        Pearson's correlation, in [-1, 1]; NaN where a map is the same everywhere or has values that are not finite, or
        where fewer than 50 pixels are compared.

    Raises:
        UserError: Maps of different sizes.
    """
    _check_sizes(first, second)
    kept = (first != 0) | (second != 0)
    if not (np.isfinite(first).all() and np.isfinite(second).all() and kept.sum() >= FEWEST_PIXELS):
        return float("nan")
    one, other = (_details(values, kept, sigma) for values in (first, second))
    size = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float((one * other).sum()) / size if size else float("nan")


def top_overlap(first: np.ndarray, second: np.ndarray, fraction: float = 0.1) -> float:
    """The share of the most important pixels that two maps have in common, see `top_overlaps`."""
    return float(top_overlaps([first, second], fraction)[0, 1])


def top_overlaps(maps: Sequence[np.ndarray], fraction: float = 0.1) -> np.ndarray:
    """The share of the most important pixels that two maps have in common, |top(a) ∩ top(b)| / |top|, for every pair.

    By chance it is `fraction`. Pixels that tie at the edge of the top share the places left there in equal parts, so
    the order of storage decides nothing.

    Args:
        maps: (H, W) each, the higher the more important.
        fraction: Fraction of all pixels that are the top, in (0, 1]; at least one pixel.

    Returns:
        Float64 (n, n) in [0, 1], 1 on the diagonal and for equal maps; NaN where a map has values that are not finite.

    Raises:
        UserError: Maps of different sizes, or a fraction out of range.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"The fraction of the top pixels lies above 0 and at most at 1; {fraction} was given.")
    for one in maps:
        _check_sizes(maps[0], one)
    count = max(1, round(fraction * maps[0].size))
    tops = [top_places(one, count) if np.isfinite(one).all() else np.full(one.shape, np.nan) for one in maps]
    found = np.eye(len(maps))
    for row, column in combinations(range(len(maps)), 2):
        found[row, column] = found[column, row] = np.minimum(tops[row], tops[column]).sum() / count
    return found


def top_places(values: np.ndarray, count: int) -> np.ndarray:
    """The part of a place that each entry has among the `count` highest, float64 of the same shape, sum `count`.

    1 above the lowest value among them, 0 below; entries that tie there share the places left in equal parts.
    """
    lowest = np.partition(values.ravel(), values.size - count)[values.size - count]
    above, tied = values > lowest, values == lowest
    return above + tied * ((count - above.sum()) / tied.sum())


def _correlations(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson's correlation of every pair of rows; NaN for a row that is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(np.stack([row.ravel() for row in ranks]))


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import

    return rankdata(values)


def _details(values: np.ndarray, kept: np.ndarray, sigma: float) -> np.ndarray:
    """The details of the pixels in `kept`, (n,)."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    if values[kept].min() == values[kept].max():
        return np.zeros(int(kept.sum()))
    ranks = np.zeros(values.shape)
    ranks[kept] = _ranks(values[kept])
    coarse, weight = (gaussian_filter(one, sigma, mode="constant") for one in (ranks, kept.astype(np.float64)))
    details = ranks[kept] - coarse[kept] / weight[kept]
    return details - details.mean()


def _check_sizes(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise UserError(f"Two maps (height, width) of one size are compared; {first.shape} and {second.shape} are not.")
