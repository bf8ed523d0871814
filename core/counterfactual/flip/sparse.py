"""A flip by the fewest pixels."""

import torch
from torch import Tensor

from .search import nearest_flip
from .slope import Slope

_MOST_ROUNDS = 60
_GROWTH = 0.1
"""Share of the chosen pixels by which they may grow in one round after the first."""
_PRUNINGS = 40
_STEPS_INSIDE = 25


def fewest_pixels(slope: Slope) -> Tensor | None:
    """A part of an image (1, C, h, w) that flips with few pixels changed; None where none was found.

    Pixels are added in the order of what the gradient promises them to do between their bounds, as many as it takes by
    the linear answer, then some more in each round until the label has flipped. Those that are not needed go again, in
    ever smaller groups. For a linear network this is the smallest set. What is left is made as short as it can be.
    """
    point, chosen = slope.start, torch.zeros_like(slope.start[0, 0], dtype=torch.bool)
    for round_ in range(_MOST_ROUNDS):
        margin, value, gradient = slope.slope(point)
        if margin < 0:
            break
        corner = _corner(slope, gradient)
        gains = ((slope.start - corner) * gradient).sum(dim=1)[0].masked_fill(chosen, 0)
        order = gains.flatten().argsort(descending=True)
        sums = gains.flatten()[order].cumsum(0, dtype=torch.float64)
        wanted = int((sums <= value).sum()) + 1
        most = wanted if not round_ else max(1, int(_GROWTH * int(chosen.sum())))
        added = order[: min(wanted, most)]
        added = added[gains.flatten()[added] > 0]
        if not len(added):
            break
        chosen.view(-1)[added] = True
        # What was chosen before follows the new gradient where that says the other way.
        moved = torch.where(gradient == 0, point, corner)
        point = torch.where(chosen, moved, slope.start)
    if slope.margin(point) >= 0:
        dense = nearest_flip(slope, "l2")
        if dense is None:
            return None
        point = dense
    point = _pruned(slope, point)
    return _shortest_inside(slope, point)


def _corner(slope: Slope, gradient: Tensor) -> Tensor:
    """The bound of each value that the gradient points away from."""
    return torch.where(gradient > 0, slope.low, torch.where(gradient < 0, slope.high, slope.start))


def _pruned(slope: Slope, point: Tensor) -> Tensor:
    """The same with pixels brought back that the flip does not need, those of the least effect first."""
    _, _, gradient = slope.slope(point)
    effect = ((slope.start - point) * gradient).sum(dim=1)[0].flatten()
    left = (point != slope.start).any(dim=1)[0].flatten().nonzero()[:, 0]
    left = left[effect[left].argsort()]
    group, tried = max(1, len(left) // 2), 0
    at = 0
    while tried < _PRUNINGS and group:
        if at >= len(left):
            at, group = 0, group // 2
            continue
        candidate = point.clone()
        candidate.flatten(2)[..., left[at : at + group]] = slope.start.flatten(2)[..., left[at : at + group]]
        tried += 1
        if slope.margin(candidate) < 0:
            point, left = candidate, torch.cat((left[:at], left[at + group :]))
        else:
            at += group
    return point


def _shortest_inside(slope: Slope, point: Tensor) -> Tensor:
    """The nearest flip that changes the same pixels only, or the point itself."""
    low, high = slope.low, slope.high
    slope.hold((point != slope.start).any(dim=1)[0])
    try:
        found = nearest_flip(slope, "l2", _STEPS_INSIDE)
    finally:
        slope.low, slope.high = low, high
    if found is None or (found - slope.start).norm() >= (point - slope.start).norm():
        return point
    return found
