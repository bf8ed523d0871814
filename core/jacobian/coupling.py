"""`Coupling`: what statistics over the image add to each row of a Jacobian, from their two factors."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..compute.memory import free_bytes
from ..receptive_field import AxisSupport
from .colouring import Plan
from .row_summaries import PassWindows, Windows

_ROW_BYTES = 2**27
"""Rows that are put together at once."""
PART_BYTES = 2**27
"""Factors that are read at once where not all are held."""
_SHARE_OF_FREE = 0.4
_READ_BYTES_PER_SECOND = 5e8
"""Of factors that are read as they are needed, checked against their checksums."""


def factor_bytes(statistics: int, shape: tuple[int, ...]) -> int:
    """Bytes of the factors of so many statistics, for images (C, H, W)."""
    channels, height, width = shape
    return 4 * statistics * (channels + 1) * height * width


def is_held(statistics: int, shape: tuple[int, ...]) -> bool:
    """Whether the main memory that is free now has room for the factors; else they are read part by part."""
    return factor_bytes(statistics, shape) <= _SHARE_OF_FREE * free_bytes(torch.device("cpu"))


def coupling_bytes(statistics: int, shape: tuple[int, ...]) -> int:
    """Memory that putting rows together takes: the factors, or a part of them, and rows with what is added to them."""
    if not statistics:
        return 0
    held = factor_bytes(statistics, shape) if is_held(statistics, shape) else PART_BYTES
    rows = min(_ROW_BYTES, 4 * math.prod(shape) * shape[1] * shape[2])
    return held + 2 * rows


def seconds_of_reading(statistics: int, shape: tuple[int, ...]) -> float:
    """For each row: the time in which factors that are not held are read again and again."""
    if is_held(statistics, shape):
        return 0.0
    rows_at_once = max(1, _ROW_BYTES // (4 * math.prod(shape)))
    return factor_bytes(statistics, shape) / _READ_BYTES_PER_SECOND / rows_at_once


class Factors(NamedTuple):
    """The factors of some statistics, see `FactorRunner`.

    Attributes:
        derivatives: ∂f(p) / ∂s(k), float32 (N, H, W).
        gradients: ds(k) / dx, float32 (N, C, H, W).
    """

    derivatives: np.ndarray
    gradients: np.ndarray


class WholeRow(NamedTuple):
    """A whole row that a pass had a part of.

    Attributes:
        number: The pass, counted from the first of those given.
        place: The place of its pixel among the windows of the pass.
        window: The whole image, as the one window of the row.
        values: The row, float32 (C, H, W).
    """

    number: int
    place: tuple[int, int]
    window: PassWindows
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Coupling:
    """The coupling of all rows.

    Attributes:
        parts: The factors, statistics by statistics. Where they are read as they are asked for, the memory holds only
            one part.
    """

    parts: Sequence[Factors]

    def weighted(self, outputs: np.ndarray) -> np.ndarray:
        """What it adds to the gradient (C, H, W) of Σ outputs · scores, for outputs (H, W)."""
        return _sum(np.tensordot(np.tensordot(part.derivatives, outputs, 2), part.gradients, 1) for part in self.parts)

    def rows(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What it adds to the rows (M, C, H, W) of M output pixels."""
        return _sum(np.tensordot(part.derivatives[:, rows, columns].T, part.gradients, 1) for part in self.parts)

    def column(self, row: int, column: int) -> np.ndarray:
        """What it adds to ∂score(every output pixel) / ∂image(row, column), float32 (C, H, W)."""
        return _sum(np.tensordot(part.gradients[:, :, row, column].T, part.derivatives, 1) for part in self.parts)

    def rows_of_passes(self, plan: Plan, passes: Iterable[tuple[PassWindows, np.ndarray]]) -> Iterator[WholeRow]:
        """The whole rows of passes, from their windows and gradient images with the statistics held.

        Many are put together at once, since each time all factors are gone through.
        """
        waiting: list[tuple[int, tuple[int, int], tuple[int, int], np.ndarray]] = []
        for index, (windows, gradient) in enumerate(passes):
            for i, j in np.argwhere(windows.selected).tolist():
                pixel = int(windows.rows.positions[i]), int(windows.columns.positions[j])
                waiting.append((index, (i, j), pixel, gradient))
                if len(waiting) * gradient.nbytes >= _ROW_BYTES:
                    yield from self._put_together(plan, waiting)
                    waiting = []
        if waiting:
            yield from self._put_together(plan, waiting)

    def _put_together(
        self, plan: Plan, waiting: Sequence[tuple[int, tuple[int, int], tuple[int, int], np.ndarray]]
    ) -> Iterator[WholeRow]:
        whole = self.rows(*np.array([pixel for _, _, pixel, _ in waiting]).T)
        for (index, place, pixel, gradient), values in zip(waiting, whole, strict=True):
            own = (slice(None), *plan.field.window(*pixel))
            values[own] += gradient[own]
            yield WholeRow(index, place, _window_of(plan, *pixel), values)


def _sum(terms: Iterable[np.ndarray]) -> np.ndarray:
    """Their sum, the first in place."""
    found = iter(terms)
    total = next(found)
    for term in found:
        total += term
    return total


def _window_of(plan: Plan, row: int, column: int) -> PassWindows:
    """The whole image as the window of a pixel."""
    height, width = plan.size
    rows = Windows(AxisSupport.whole(height), np.array([row]))
    return PassWindows(rows, Windows(AxisSupport.whole(width), np.array([column])), np.ones((1, 1), dtype=bool))
