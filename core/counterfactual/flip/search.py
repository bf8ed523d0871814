"""The nearest image at which a label flips, by the L2 or the L∞ norm."""

import math

import numpy as np
import torch
from torch import Tensor

from .projections import Norm, length, projected
from .slope import Slope

DEFAULT_STEPS = 100
_DESCENT: dict[Norm, float] = {"l2": 0.4, "linf": 0.8}
"""Share of the steps that lead to a first flip, by the L2 and by the L∞ norm, which has more corners."""
_RIVALS = 3
_WITHIN = 1.5
"""First flips up to this many times as far as the nearest are followed further."""
_RADIUS_CHANGE, _LAST_RADIUS_CHANGE, _LAST_STRIDE = 0.05, 0.001, 0.01
_PATIENCE = 12
"""Steps without a gain of a thousandth after which the search ends."""
_GAIN = 1e-3
_FIRST_DEPTH = 0.02
"""How far beyond the boundary is aimed at first, as a share of the first margin; it halves again and again."""
_LAST_DEPTHS = (1e-6, 1e-5, 1e-4, 1e-3)
_STEPS_TO_HALF = 8
_HALVINGS = 16
_PUSHES = 20
_TINY = 1e-30
_FIRST_WEIGHT, _SMALLEST_WEIGHT, _WEIGHT_UP, _WEIGHT_DOWN = 0.1, 0.05, 1.1, 0.9


def nearest_flip(slope: Slope, norm: Norm, steps: int = DEFAULT_STEPS, *, rivals: int = _RIVALS) -> Tensor | None:
    """The nearest part of an image (1, C, h, w) found at which the question has flipped; None where none was found.

    By the L2 norm, where any other class will do, flips to each of the next classes are looked for, too. At last the
    line to the image is halved.

    Args:
        slope: The question.
        norm: What is small.
        steps: Most steps for each class.
        rivals: Number of classes.
    """
    first: list[tuple[float, int | None, Tensor]] = []
    for to_class in [None, *slope.rivals(rivals if norm == "l2" else 0)]:
        slope.aim(to_class)
        flipped = _first_flip(slope, norm, max(1, round(steps * _DESCENT[norm])))
        if flipped is not None:
            first.append((length(flipped - slope.start, norm), to_class, flipped))
    slope.aim(None)
    if not first and (pushed := _pushed(slope)) is not None:
        first = [(length(pushed - slope.start, norm), None, pushed)]
    if not first:
        return None
    found, least = [], min(size for size, *_ in first)
    for size, to_class, flipped in first:
        if size <= _WITHIN * least:
            slope.aim(to_class)
            found.append(_nearer(slope, norm, steps, flipped))
    slope.aim(None)
    nearest = min(found, key=lambda each: length(each - slope.start, norm))
    return shortened(slope, _polished(slope, nearest, norm))


def _first_flip(slope: Slope, norm: Norm, steps: int) -> Tensor | None:
    """The nearest flip on a descent in a ball around the image, which shrinks at each flip and grows without one.

    After Pintor et al., "Fast minimum-norm adversarial attacks through adaptive norm constraints", 2021.
    """
    point, best, shortest, radius = slope.start, None, np.inf, 0.0
    for step in range(steps):
        margin, value, gradient = slope.slope(point)
        steepness = float(gradient.norm() if norm == "l2" else gradient.abs().sum())
        if not steepness:
            break
        ease = (1 + math.cos(math.pi * step / steps)) / 2
        change = _RADIUS_CHANGE if norm == "l2" else _LAST_RADIUS_CHANGE + (_RADIUS_CHANGE - _LAST_RADIUS_CHANGE) * ease
        size = length(point - slope.start, norm)
        if margin < 0:
            if size < shortest:
                best, shortest = point, size
            radius = min(radius, size) * (1 - change)
        elif best is None and norm == "linf":
            radius = size + abs(value) / steepness
        else:
            radius = radius * (1 + change) if radius else abs(value) / steepness
        moved = point - (_LAST_STRIDE + (1 - _LAST_STRIDE) * ease) * gradient / gradient.norm() - slope.start
        moved = moved * (radius / max(float(moved.norm()), _TINY)) if norm == "l2" else moved.clamp(-radius, radius)
        point = (slope.start + moved).clamp(min=slope.low, max=slope.high)
    return best


def _nearer(slope: Slope, norm: Norm, steps: int, flipped: Tensor) -> Tensor:
    """A flip nearer to the image than one that is known, or that one.

    At each point the boundary is taken for the hyperplane that the gradient gives. The next point lies between the
    point of it nearest to here, which keeps to where the gradient holds, and the one nearest to the image, which is the
    answer where the boundary is flat; the weight of the latter grows while flips are found (after Croce & Hein, 2020,
    whose weight is given by the two distances).
    """
    point = best = flipped
    shortest, since, weight = length(flipped - slope.start, norm), 0, _FIRST_WEIGHT
    first = abs(slope.slope(slope.start)[1])
    for step in range(steps):
        margin, value, gradient = slope.slope(point)
        if not bool(gradient.any()) or since > _PATIENCE:
            break
        size = length(point - slope.start, norm)
        since = 0 if margin < 0 and size < shortest * (1 - _GAIN) else since + 1
        if margin >= 0:
            weight = max(_SMALLEST_WEIGHT, weight * _WEIGHT_DOWN)
        elif size < shortest:
            best, shortest, weight = point, size, min(1.0, weight * _WEIGHT_UP)
        depth = _FIRST_DEPTH * first * 0.5 ** (step / _STEPS_TO_HALF)
        moved = float((gradient * (point - slope.start)).sum(dtype=torch.float64))
        near = projected(point, gradient, value + depth, slope.low, slope.high, norm)
        direct = projected(slope.start, gradient, value - moved + depth, slope.low, slope.high, norm)
        point = (1 - weight) * near + weight * direct
    return best


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
