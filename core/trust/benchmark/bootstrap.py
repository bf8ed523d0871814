"""How sure a mean is when the values come in groups."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ...errors import UserError

DEFAULT_RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: Over all values that are defined; NaN where there are none.
        low: Lower end; NaN where fewer than two groups have a value.
        high: Upper end.
        values: How many are defined.
        groups: How many groups they come from.
    """

    mean: float
    low: float
    high: float
    values: int
    groups: int


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable],
    confidence: float = CONFIDENCE,
    n_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean and its percentile interval under a bootstrap that draws whole groups with replacement.

    Davison & Hinkley, "Bootstrap methods and their application", 1997, section 3.8; Efron's percentiles. Targets of one
    image are not independent, so images are what is drawn, each with all of its targets: a resample's mean is
    Σ_g w_g s_g / Σ_g w_g n_g for the groups' sums s, sizes n and multinomial weights w.

    Few groups make the interval too narrow: of normal values, the 95 % interval misses the true mean in about 14 % of
    the cases with 6 groups, 10 % with 8 and 6 % with 20. Nothing is decided by it; see `t_interval`.

    Args:
        values: (n,); what is not defined (NaN) is left out.
        groups: (n,), the group of each value, such as its image.
        confidence: In (0, 1).
        n_resamples: How often groups are drawn.
        seed: Of the draws. The same groups are drawn for the same seed and the same number of groups.

    Returns:
        The interval. Its ends are NaN where there is one group only: how groups differ is then not known at all.

    Raises:
        UserError: A confidence outside (0, 1), no resample, or values and groups of different lengths.
    """
    if not 0 < confidence < 1 or n_resamples < 1:
        raise UserError("A bootstrap needs a confidence between 0 and 1 and at least one resample.")
    point, origin, sums, sizes = _of_groups(values, groups)
    if point.groups < 2:
        return point
    weights = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), n_resamples)
    means = origin + (weights @ sums) / (weights @ sizes)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return replace(point, low=float(low), high=float(high))


def t_interval(
    values: Sequence[float] | np.ndarray, groups: Sequence[Hashable], confidence: float = CONFIDENCE
) -> Interval:
    """The mean and Student's interval for it, with groups as what varies independently.

    m ± t_{n-1} √v with m = Σ_g s_g / Σ_g n_g and v = n / (n - 1) Σ_g (s_g - n_g m)² / (Σ_g n_g)², for the sums s and
    sizes n_g of n groups: the linearised variance of a ratio (Cochran, "Sampling techniques", 1977, chapter 6). With
    one value a group it is the t interval of a mean, right for normal values however few there are. With groups of
    very different sizes it is an approximation, and so it is for skewed values: of eight exponential ones, the 95 %
    interval misses the true mean in about 11 % of the cases.

    Args:
        values: (n,); what is not defined (NaN) is left out.
        groups: (n,), the group of each value, such as its image.
        confidence: In (0, 1).

    Returns:
        The interval. Its ends are NaN where there is one group only: how groups differ is then not known at all.

    Raises:
        UserError: A confidence outside (0, 1), or values and groups of different lengths.
    """
    if not 0 < confidence < 1:
        raise UserError(f"A confidence lies between 0 and 1; {confidence} was given.")
    point, origin, sums, sizes = _of_groups(values, groups)
    if point.groups < 2:
        return point
    residuals = sums - sizes * (point.mean - origin)
    variance = point.groups / (point.groups - 1) * np.sum(residuals**2) / point.values**2
    half = float(stats.t.ppf((1 + confidence) / 2, point.groups - 1) * np.sqrt(variance))
    return replace(point, low=point.mean - half, high=point.mean + half)


def _of_groups(
    values: Sequence[float] | np.ndarray, groups: Sequence[Hashable]
) -> tuple[Interval, float, np.ndarray, np.ndarray]:
    """The mean without ends, an origin, and of each group the sum of its values less that origin, and its size."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (len(groups),):
        raise UserError(f"Every value needs its group; there are {numbers.size} values and {len(groups)} groups.")
    defined = np.isfinite(numbers)
    numbers = numbers[defined]
    numbered: dict[Hashable, int] = {}
    of_group = [
        numbered.setdefault(group, len(numbered)) for group, there in zip(groups, defined, strict=True) if there
    ]
    if not len(numbers):
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0), 0.0, np.empty(0), np.empty(0)
    # Around the first value, so that values that are all the same have an interval without any width.
    origin = float(numbers[0])
    sums, sizes = np.bincount(of_group, numbers - origin), np.bincount(of_group)
    mean = origin + float(sums.sum()) / len(numbers)
    return Interval(mean, float("nan"), float("nan"), len(numbers), len(numbered)), origin, sums, sizes
