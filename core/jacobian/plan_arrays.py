"""A plan as the arrays that a store keeps it in, and back."""

from collections.abc import Iterable, Mapping

import numpy as np

from .colouring import Plan
from .store_layout import Manifest
from .support import AxisSupport, ReceptiveField

_MOST_SUMMARIES = 2**26
"""Passes times slots: above, the histograms alone would take 17 GB of memory."""


def arrays_of(plan: Plan) -> dict[str, np.ndarray]:
    """The arrays that a plan is kept in."""
    return {
        "row_support": _pairs(plan.field.rows),
        "column_support": _pairs(plan.field.columns),
        "row_colour": _colour_of_position(plan.rows, plan.size[0]),
        "column_colour": _colour_of_position(plan.columns, plan.size[1]),
        "passes": plan.passes,
        "selected": plan.selected,
    }


def plan_of(arrays: Mapping[str, np.ndarray], manifest: Manifest) -> Plan:
    """The plan that was kept in these arrays, of the right shapes and types.

    Raises:
        ValueError: They hold no plan that could be computed by.
    """
    rows, columns = (AxisSupport(*arrays[name].T) for name in ("row_support", "column_support"))
    _check_support("row_support", rows)
    _check_support("column_support", columns)
    plan = Plan(
        ReceptiveField(rows, columns, manifest.dense),
        _positions_of_colour("row_colour", arrays["row_colour"], rows),
        _positions_of_colour("column_colour", arrays["column_colour"], columns),
        arrays["passes"],
        arrays["selected"],
    )
    _check_passes(plan)
    _check_blocks(plan, manifest)
    return plan


def _pairs(support: AxisSupport) -> np.ndarray:
    return np.stack((support.first, support.last), axis=1)


def _colour_of_position(colours: Iterable[np.ndarray], length: int) -> np.ndarray:
    colour_of_position = np.full(length, -1, np.int32)
    for colour, positions in enumerate(colours):
        colour_of_position[positions] = colour
    return colour_of_position


def _positions_of_colour(name: str, colour_of_position: np.ndarray, support: AxisSupport) -> tuple[np.ndarray, ...]:
    found = np.unique(colour_of_position[colour_of_position != -1])
    if len(found) == 0 or not np.array_equal(found, np.arange(len(found))):
        raise ValueError(f"its {name} holds numbers that are no colours")
    order = np.argsort(support.first, kind="stable")
    colours = tuple(order[colour_of_position[order] == colour] for colour in range(len(found)))
    if any((support.last[positions[:-1]] >= support.first[positions[1:]]).any() for positions in colours):
        raise ValueError(f"its {name} gives one colour to positions whose supports meet")
    return colours


def _check_support(name: str, support: AxisSupport) -> None:
    if support.first.min() < 0 or support.last.max() >= len(support) or (support.first > support.last).any():
        raise ValueError(f"its {name} leads out of the image")


def _check_passes(plan: Plan) -> None:
    num_colours = np.array([len(plan.rows), len(plan.columns)])
    if plan.passes.min() < 0 or (plan.passes >= num_colours).any():
        raise ValueError("its passes name colours that do not exist")
    if len(np.unique(plan.passes[:, 0] * num_colours[1] + plan.passes[:, 1])) != len(plan):
        raise ValueError("its passes hold one pass twice")
    # A byte of a stored bool can be any number.
    if plan.selected.view(np.uint8).max() > 1 or not plan.selected.any():
        raise ValueError("its selected is no choice of pixels")
    if (plan.pass_of_pixel[plan.selected] < 0).any():
        raise ValueError("its passes leave out pixels that were asked for")


def _check_blocks(plan: Plan, manifest: Manifest) -> None:
    block = manifest.passes_per_block
    if block > len(plan) or block & (block - 1) or manifest.batch_size > block:
        raise ValueError("its passes_per_block does not fit its passes")
    if len(plan) * plan.slots > _MOST_SUMMARIES:
        raise ValueError("its summaries would be too large to read")
