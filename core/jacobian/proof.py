"""Whether shared passes hold the rows that they should: checked while they run, on the very gradients that are kept."""

import numpy as np

from core.jacobian.colouring import Plan
from core.jacobian.passes import PassRunner
from core.jacobian.summaries import PassWindows

ROW_TOLERANCE = 1e-5
"""Of a row's largest entry: how far a row from a shared pass may lie from the same row computed alone."""
BATCH_TOLERANCE = 1e-4
"""Likewise where passes run several at once, which rounds differently."""


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


def check_row(runner: PassRunner, plan: Plan, index: int, gradient: np.ndarray) -> None:
    """Hold one row of a pass, any one of them, against the same row computed alone.

    Args:
        runner: Of the passes.
        plan: Of the passes.
        index: Of the pass.
        gradient: Its gradient image (C, H, W).

    Raises:
        FieldTooSmallError: They differ by more than rounding.
    """
    rows, columns = plan.pixels(index)
    pixels = [(r, c) for r in rows for c in columns if plan.selected[r, c]]
    whole = tuple(slice(0, length) for length in plan.size)
    if len(pixels) == 1 and plan.field.window(*pixels[0]) == whole:
        return  # there is nothing to share: the batch that it ran in was checked by the runner
    row, column = pixels[np.random.default_rng(index).integers(len(pixels))]
    outputs = np.zeros(plan.size, np.float32)
    outputs[row, column] = 1
    alone = runner.alone(outputs)
    shared = np.zeros_like(alone)
    window = (slice(None), *plan.field.window(row, column))
    shared[window] = gradient[window]
    tolerance = ROW_TOLERANCE if runner.batch_size == 1 else BATCH_TOLERANCE
    if np.abs(shared - alone).max() > tolerance * np.abs(alone).max():
        raise FieldTooSmallError
