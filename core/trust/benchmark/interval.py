"""How sure a mean is when the values come in groups."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from ...errors import UserError

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean with its confidence interval.

    Attributes:
        mean: Mean of all values that are defined; NaN where there are none.
        low: Lower end; NaN where fewer than two groups have a value.
        high: Upper end.
        values: Number of values that are defined.
        groups: Number of groups they come from.
    """

    mean: float
    low: float
    high: float
    values: int
    groups: int


NO_INTERVAL = Interval(float("nan"), float("nan"), float("nan"), 0, 0)


def t_interval(
    values: Sequence[float] | np.ndarray, groups: Sequence[Hashable], confidence: float = CONFIDENCE
) -> Interval:
    """The mean and Student's interval for it, with groups as what varies independently.

    m ± t_{n-1} √v with m = Σ_g s_g / Σ_g n_g and v = n / (n - 1) Σ_g (s_g - n_g m)² / (Σ_g n_g)², for the sums s and
    sizes n_g of n groups: the linearised variance of a ratio (Cochran, "Sampling techniques", 1977, chapter 6). With
    one value per group it is the t interval of a mean, right for normal values however few there are. With groups of
    very different sizes it is an approximation, and so it is for skewed values: of eight exponential ones, the 95 %
    interval misses the true mean in about 11 % of the cases.

    Args:
        values: (n,); what is not defined (NaN) is left out.
        groups: (n,), the group of each value. The targets of one image are not independent, so the image is the group.
        confidence: In (0, 1).

    Returns:
        The interval. Its ends are NaN where there is one group only: how groups differ is then not known at all.

    Raises:
        UserError: A confidence outside (0, 1), or values and groups of different lengths.
    """
    if not 0 < confidence < 1:
        raise UserError(f"A confidence lies between 0 and 1; {confidence} was given.")
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (len(groups),):
        raise UserError(f"Every value needs its group; there are {numbers.size} values and {len(groups)} groups.")
    known = np.isfinite(numbers)
    numbers = numbers[known]
    if not len(numbers):
        return NO_INTERVAL
    numbered: dict[Hashable, int] = {}
    group_of = [numbered.setdefault(group, len(numbered)) for group, there in zip(groups, known, strict=True) if there]
    # Around the first value, so that values that are all the same have an interval without any width.
    origin = float(numbers[0])
    sums, sizes = np.bincount(group_of, numbers - origin), np.bincount(group_of)
    offset, count = float(sums.sum()) / len(numbers), len(numbered)
    half = float("nan")
    if count > 1:
        from scipy import stats  # noqa: PLC0415 - slow to import

        variance = count / (count - 1) * np.sum((sums - sizes * offset) ** 2) / len(numbers) ** 2
        half = float(stats.t.ppf((1 + confidence) / 2, count - 1) * np.sqrt(variance))
    mean = origin + offset
    return Interval(mean, mean - half, mean + half, len(numbers), count)
