"""Choosing the cheapest exact way to a Jacobian: shared passes, a coupling by statistics, or a pass for each pixel."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..receptive_field import ReceptiveField
from ..receptive_field.support import support_without
from ..segmenter import Segmenter
from ..segmenter.examination import REFUSALS
from ..target import Score
from .colouring import Plan, plan_passes
from .coupling import Coupling, Factors, seconds_of_reading
from .factors import FactorRunner

_TIMED_STATISTICS = 64
_TIMED_ROWS = 16
_FEWEST_PIXELS = 512


@dataclass(frozen=True, eq=False)
class Uncoupled:
    """What is left of a network while its statistics over the image are held.

    Attributes:
        field: Its structural receptive field.
        statistics: Number of statistics.
        seconds_per_statistic: For both of its factors, as timed.
        seconds_per_row: For putting a row together, as timed, and for reading the factors that the memory cannot hold.
    """

    field: ReceptiveField
    statistics: int
    seconds_per_statistic: float
    seconds_per_row: float

    @classmethod
    def find(cls, segmenter: Segmenter, image: np.ndarray, score: Score, labels: np.ndarray) -> "Uncoupled | None":
        """For an image float32 (C, H, W); None where that does not uncouple distant pixels, or cannot be computed."""
        height, width = image.shape[1:]
        try:
            runner = FactorRunner(segmenter, image, score, labels)
            number = len(runner)
            if not number:
                return None
            field = support_without(segmenter, (height, width), runner.statistics)
            if field.dense:
                return None
            runner.factors(range(1))  # what torch makes at its first forward-mode pass is made once
            timed = [range(at, at + 1) for at in (0, number // 2, number - 1)]
            seconds = [_seconds(partial(runner.factors, one)) for one in timed]
        except REFUSALS:  # such as an operation without forward-mode differentiation; a pass for each pixel needs none
            return None
        return cls(field, number, sum(seconds) / len(seconds), _seconds_per_row(number, image.shape))


def cheapest_plan(
    field: ReceptiveField,
    uncoupled: Uncoupled | None,
    seconds_per_pass: float,
    stride: int = 1,
    region: np.ndarray | None = None,
) -> tuple[Plan, float]:
    """The plan that takes the least time, and that time in seconds."""
    plan = plan_passes(field, stride, region)
    seconds = seconds_per_pass * len(plan)
    if uncoupled is None:
        return plan, seconds
    other = plan_passes(uncoupled.field, stride, region, uncoupled.statistics)
    seconds_of_other = (
        seconds_per_pass * len(other)
        + uncoupled.seconds_per_statistic * uncoupled.statistics
        + uncoupled.seconds_per_row * other.num_pixels
    )
    return (other, seconds_of_other) if seconds_of_other < seconds else (plan, seconds)


def may_be_uncoupled(plan: Plan, stride: int) -> bool:
    """Whether it is worth a look: no two pixels share a pass, and without the stride there are many."""
    return len(plan) == plan.num_pixels >= _FEWEST_PIXELS / stride**2 and not plan.field.reason


def _seconds_per_row(number: int, shape: tuple[int, ...]) -> float:
    timed = min(number, _TIMED_STATISTICS)
    values = np.random.default_rng(0).random((timed, *shape), np.float32)
    coupling, pixels = Coupling([Factors(values[:, 0], values)]), np.zeros(_TIMED_ROWS, np.int64)
    seconds = _seconds(lambda: coupling.rows(pixels, pixels)) / _TIMED_ROWS * number / timed
    return seconds + seconds_of_reading(number, shape)


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
