"""The nearest image at which a label flips, by the L2 or the L∞ norm."""

import numpy as np
import torch
from torch import Tensor

from .projections import Norm, length, projected
from .slope import Slope

DEFAULT_STEPS = 100
_PATIENCE = 12
"""Steps without a gain of a thousandth after which the search ends."""
_GAIN = 1e-3
_FIRST_DEPTH = 0.02
"""How far beyond the boundary is aimed at first, as a share of the first margin; it halves again and again."""
_LAST_DEPTHS = (1e-6, 1e-5, 1e-4, 1e-3)
_STEPS_TO_HALF = 8
_HALVINGS = 16
_PUSHES = 20
_SMALLEST_WEIGHT, _WEIGHT_UP, _WEIGHT_DOWN = 0.05, 1.1, 0.9


def nearest_flip(slope: Slope, norm: Norm, steps: int = DEFAULT_STEPS) -> Tensor | None:
    """The nearest part of an image (1, C, h, w) found at which the question has flipped; None where none was found.

    At each point the boundary is taken for the hyperplane that the gradient gives. The next point lies between the
    point of it nearest to here, which keeps to where the gradient holds, and the one nearest to the image, which is the
    answer where the boundary is flat; the weight of the latter grows while flips are found (after Croce & Hein, 2020,
    whose weight is given by the two distances). At last the line to the image is halved.
    """
    point, best, shortest, since = slope.start, None, np.inf, 0
    weight, first = 0.5, 0.0
    for step in range(steps):
        margin, value, gradient = slope.slope(point)
        if not bool(gradient.any()):
            break
        first = first or abs(value)
        if margin < 0:
            size = length(point - slope.start, norm)
            since = 0 if size < shortest * (1 - _GAIN) else since + 1
            if size < shortest:
                best, shortest, weight = point, size, min(1.0, weight * _WEIGHT_UP)
        else:
            weight, since = max(_SMALLEST_WEIGHT, weight * _WEIGHT_DOWN), since + 1
        if best is not None and since > _PATIENCE:
            break
        depth = _FIRST_DEPTH * first * 0.5 ** (step / _STEPS_TO_HALF)
        moved = float((gradient * (point - slope.start)).sum(dtype=torch.float64))
        near = projected(point, gradient, value + depth, slope.low, slope.high, norm)
        direct = projected(slope.start, gradient, value - moved + depth, slope.low, slope.high, norm)
        point = (1 - weight) * near + weight * direct
    if best is None:
        best = _pushed(slope)
    return None if best is None else shortened(slope, _polished(slope, best, norm))


def _polished(slope: Slope, flipped: Tensor, norm: Norm) -> Tensor:
    """The point just behind the boundary that is linear at a flip, if it is nearer to the image and flips too."""
    _, value, gradient = slope.slope(flipped)
    moved = float((gradient * (flipped - slope.start)).sum(dtype=torch.float64))
    for depth in _LAST_DEPTHS:
        fall = (value - moved) * (1 + depth)
        candidate = projected(slope.start, gradient, fall, slope.low, slope.high, norm)
        if length(candidate - slope.start, norm) < length(flipped - slope.start, norm) and slope.margin(candidate) < 0:
            return candidate
    return flipped


def shortened(slope: Slope, flipped: Tensor) -> Tensor:
    """The point on the line from the image to one that flips, just behind the last boundary before it."""
    least, most = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if slope.margin(_between(slope, flipped, middle)) < 0:
            most = middle
        else:
            least = middle
    return _between(slope, flipped, most)


def _between(slope: Slope, flipped: Tensor, share: float) -> Tensor:
    return flipped if share == 1 else slope.start + share * (flipped - slope.start)


def _pushed(slope: Slope) -> Tensor | None:
    """A flip anywhere between the bounds, by steps along the gradient's signs that grow up to the whole range."""
    for stride in (0.02, 0.1, 0.5):
        point = slope.start
        for _ in range(_PUSHES):
            margin, _, gradient = slope.slope(point)
            if margin < 0:
                return point
            point = (point - stride * gradient.sign()).clamp(min=slope.low, max=slope.high)
        if slope.margin(point) < 0:
            return point
    return None
