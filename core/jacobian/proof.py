"""Checks that shared passes hold the rows that they should, made while they run, on the gradients that are kept."""

import numpy as np

from .colouring import Plan
from .coupling import Coupling
from .passes import BATCH_TOLERANCE, PassRunner
from .row_summaries import PassWindows

ROW_TOLERANCE = 1e-5
"""How far a row from a shared pass may lie from the same row computed alone, as a share of its largest entry; it is
`BATCH_TOLERANCE` where passes run several at once."""
_PASSES_PER_PROOF = 128
_SUM_TOLERANCE = 1e-3
"""How far two sums of many rows may differ by rounding, as a share of the sum of magnitudes at an input pixel."""
_SUM_TOLERANCE_OF_LARGEST = 1e-3
"""Likewise as a share of the largest such sum: where probabilities are saturated, more cancels than shows."""


class FieldTooSmallError(Exception):
    """A gradient lies outside the receptive field that was planned with."""


def check_field(windows: PassWindows, gradient: np.ndarray) -> None:
    """Raise a FieldTooSmallError where a pass's gradient image (C, H, W) is not zero outside all of its windows."""
    for outside in windows.rows.gaps:
        if gradient[:, outside].any():
            raise FieldTooSmallError
    for outside in windows.columns.gaps:
        if gradient[:, :, outside].any():
            raise FieldTooSmallError


def check_row(
    runner: PassRunner, plan: Plan, index: int, gradient: np.ndarray, coupling: Coupling | None = None
) -> None:
    """Compare one row of pass `index`, from its gradient image (C, H, W), with the same row computed alone.

    With a coupling, the row put together is compared with that of the network as it is.

    Raises:
        FieldTooSmallError: They differ by more than rounding.
    """
    rows, columns = plan.pixels(index)
    pixels = [(r, c) for r in rows for c in columns if plan.selected[r, c]]
    whole = tuple(slice(0, length) for length in plan.size)
    if len(pixels) == 1 and plan.field.window(*pixels[0]) == whole and coupling is None:
        return  # there is nothing to share: the batch that it ran in was checked by the runner
    if runner.batch_size == 1:
        row, column = pixels[np.random.default_rng(index).integers(len(pixels))]
    else:  # the row that has lost least to the other rounding of a batch
        row, column = max(pixels, key=lambda pixel: np.abs(gradient[(slice(None), *plan.field.window(*pixel))]).max())
    outputs = np.zeros(plan.size, np.float32)
    outputs[row, column] = 1
    alone = runner.reference.alone(outputs)
    shared = np.zeros_like(alone) if coupling is None else coupling.weighted(outputs)
    window = (slice(None), *plan.field.window(row, column))
    shared[window] += gradient[window]
    tolerance = ROW_TOLERANCE if runner.batch_size == 1 else BATCH_TOLERANCE
    if np.abs(shared - alone).max() > tolerance * np.abs(alone).max():
        raise FieldTooSmallError


class SumProof:
    """Holds the rows of many shared passes together against one pass for all of them.

    What leaks from one window into another's is not seen outside of all windows, and seldom in a single row. But
    Σ v(p) · row(p) over many pixels p, for weights v of chance, is one backward pass, and it equals the sum of the
    windows' contents times their weights only if every window holds its own row and nothing else (the check of a matrix
    product by Freivalds, "Probabilistic machines can use less running time", 1977). Where every pixel has a pass to
    itself, there is nothing to prove.
    """

    def __init__(self, runner: PassRunner, plan: Plan, coupling: Coupling | None = None) -> None:
        self._runner = runner.reference
        self._plan = plan
        self._coupling = coupling
        generator = np.random.default_rng(0)
        self._row_weights, self._column_weights = (
            generator.uniform(0.5, 1.5, length).astype(np.float32) for length in plan.size
        )
        self._passes: list[int] = []
        self._sum: np.ndarray | None = None
        self._size: np.ndarray | None = None

    def add(self, index: int, windows: PassWindows, gradient: np.ndarray) -> None:
        """Add the gradient image (C, H, W) of a pass."""
        if len(self._plan) == self._plan.num_pixels and self._coupling is None:
            return
        by_row = self._row_weights[windows.rows.positions][windows.rows.label]
        by_column = self._column_weights[windows.columns.positions][windows.columns.label]
        weighted = gradient * by_row[:, None]
        weighted *= by_column
        if self._sum is None or self._size is None:
            self._sum, self._size = np.zeros_like(weighted), np.zeros_like(weighted)
        self._sum += weighted
        self._size += np.abs(weighted, out=weighted)
        self._passes.append(index)

    @property
    def is_due(self) -> bool:
        """Whether enough passes were added for the cost of the check, one more pass, not to matter."""
        return len(self._passes) >= _PASSES_PER_PROOF

    def check(self) -> None:
        """Check what was added, and begin anew.

        Raises:
            FieldTooSmallError: The two sums differ by more than rounding.
        """
        if self._sum is None or self._size is None:
            return
        outputs = np.zeros(self._plan.size, np.float32)
        for index in self._passes:
            outputs += self._plan.outputs(index)
        outputs *= self._row_weights[:, None] * self._column_weights
        if self._coupling is not None:
            added = self._coupling.weighted(outputs)
            self._sum += added
            self._size += np.abs(added)
        difference = np.abs(self._runner(outputs[None])[0] - self._sum)
        allowed = _SUM_TOLERANCE * self._size + _SUM_TOLERANCE_OF_LARGEST * self._size.max()
        self._passes, self._sum, self._size = [], None, None
        if (difference > allowed).any():
            raise FieldTooSmallError
