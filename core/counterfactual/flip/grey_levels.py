"""A flip whose changed values are whole 8-bit grey levels."""

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from .slope import Slope

_LEVELS = 255
_MARGINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""How much further than the boundary the linear answer goes, as a share of the way there, one after another."""
_ADDED_AT_ONCE = 64


def in_grey_levels(
    slope: Slope, flipped: Tensor, proves: Callable[[Tensor], bool], *, keeps_largest: bool = False
) -> Tensor | None:
    """A flip near a given one whose changed values are multiples of 1/255; None where none was found.

    The change is cut to whole levels towards the image. Then single levels are added where the gradient promises the
    most for the growth of the squared norm, until the linear answer is behind the boundary; further where that does not
    `prove` a flip.

    Args:
        slope: The margin and its gradient.
        flipped: The flip, (1, C, h, w).
        proves: Whether a part of the image with such values flips in the whole image.
        keeps_largest: Whether the largest change is kept small, rather than the squared norm.
    """
    _, _, gradient = slope.slope(flipped)
    near = torch.round(slope.start * _LEVELS)  # values between two levels move to one of them only where they change
    ideal = (flipped - slope.start) * _LEVELS
    base = near + torch.where(ideal > 0, torch.floor(ideal), torch.ceil(ideal))
    way = float(((flipped - slope.start) * gradient).sum(dtype=torch.float64))
    fewest = math.ceil(float(ideal.abs().max()) - 1e-6)
    bounds = [*range(fewest, fewest + 4), 2 * fewest + 4, _LEVELS] if keeps_largest else [_LEVELS]
    for bound, further in product(bounds, _MARGINS):
        levels = _with_levels(slope, base.clone(), near, gradient, way - further * abs(way), bound)
        candidate = torch.where(levels == near, slope.start, levels / _LEVELS).clamp(min=slope.low, max=slope.high)
        if slope.margin(candidate) < 0 and proves(candidate):
            return candidate
    return None


def _with_levels(slope: Slope, levels: Tensor, near: Tensor, gradient: Tensor, wanted: float, bound: int) -> Tensor:
    """Add levels until gradient · change is at most `wanted`, at most so many to each value."""
    direction = -gradient.sign()
    while True:
        change = torch.where(levels == near, 0.0, levels / _LEVELS - slope.start)
        missing = float((change * gradient).sum(dtype=torch.float64)) - wanted
        if missing <= 0:
            return levels
        after = levels + direction
        can = (after / _LEVELS >= slope.low - 1e-7) & (after / _LEVELS <= slope.high + 1e-7) & (direction != 0)
        can &= (after - near).abs() <= bound
        if not bool(can.any()):
            return levels
        cost = (after - near).square() - (levels - near).square()
        worth = torch.where(can, gradient.abs() / cost.clamp(min=1.0), -1.0)
        best = worth.flatten().topk(min(_ADDED_AT_ONCE, int(can.sum()))).indices
        gains = gradient.flatten()[best].abs().cumsum(0) / _LEVELS
        best = best[: int((gains < missing).sum()) + 1]
        levels.view(-1)[best] = after.flatten()[best]
