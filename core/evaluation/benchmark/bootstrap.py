"""How sure a mean is when the values come in groups."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import UserError

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
    Σ_g w_g s_g / Σ_g w_g n_g for the groups' sums s, sizes n and multinomial weights w. Few groups make the interval
    too narrow: see `caution`.

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
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    # Around the first value, so that values that are all the same have an interval without any width.
    origin = numbers[0]
    mean = float(origin + np.mean(numbers - origin))
    if len(numbered) < 2:
        return Interval(mean, float("nan"), float("nan"), len(numbers), len(numbered))
    sums, sizes = np.bincount(of_group, numbers - origin), np.bincount(of_group)
    weights = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), n_resamples)
    means = origin + (weights @ sums) / (weights @ sizes)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return Interval(mean, float(low), float(high), len(numbers), len(numbered))
