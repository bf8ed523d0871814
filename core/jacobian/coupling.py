"""`Coupling`: what statistics over the image add to each row of a Jacobian, from their two factors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..receptive_field import AxisSupport
from .colouring import Plan
from .row_summaries import PassWindows, Windows

_ROW_BYTES = 2**26
"""Rows that are put together at once."""


@dataclass(frozen=True, eq=False)
class Coupling:
    """The factors of the coupling, see `FactorRunner`.

    Attributes:
        derivatives: ∂f(p) / ∂s(k), float32 (N, H, W).
        gradients: ds(k) / dx, float32 (N, C, H, W).
    """

    derivatives: np.ndarray
    gradients: np.ndarray

    def weighted(self, outputs: np.ndarray) -> np.ndarray:
        """What it adds to the gradient (C, H, W) of Σ outputs · scores, for outputs (H, W)."""
        return np.tensordot(np.tensordot(self.derivatives, outputs, 2), self.gradients, 1)

    def rows(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What it adds to the rows (M, C, H, W) of M output pixels."""
        return np.tensordot(self.derivatives[:, rows, columns].T, self.gradients, 1)

    def column(self, row: int, column: int) -> np.ndarray:
        """What it adds to ∂score(every output pixel) / ∂image(row, column), float32 (C, H, W)."""
        return np.tensordot(self.gradients[:, :, row, column].T, self.derivatives, 1)

    def rows_of_pass(
        self, plan: Plan, windows: PassWindows, gradient: np.ndarray
    ) -> Iterator[tuple[tuple[int, int], PassWindows, np.ndarray]]:
        """The whole rows of a pass, from its gradient image with the statistics held.

        Yields:
            The place of each selected pixel among the windows, the one window of its row, and its row (C, H, W).
        """
        places = np.argwhere(windows.selected)
        at_once = max(1, _ROW_BYTES // gradient.nbytes)
        for start in range(0, len(places), at_once):
            part = places[start : start + at_once]
            pixels = windows.rows.positions[part[:, 0]], windows.columns.positions[part[:, 1]]
            whole = self.rows(*pixels)
            for (i, j), row, column, values in zip(part, *pixels, whole, strict=True):
                own = (slice(None), *plan.field.window(int(row), int(column)))
                values[own] += gradient[own]
                yield (i, j), _window_of(plan, int(row), int(column)), values


def _window_of(plan: Plan, row: int, column: int) -> PassWindows:
    """The whole image as the window of a pixel."""
    height, width = plan.size
    rows = Windows(AxisSupport.whole(height), np.array([row]))
    return PassWindows(rows, Windows(AxisSupport.whole(width), np.array([column])), np.ones((1, 1), dtype=bool))
