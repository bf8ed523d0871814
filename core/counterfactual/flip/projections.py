"""The nearest point of a hyperplane in a box, by the L2 and by the L∞ norm."""

from typing import Literal

import torch
from torch import Tensor

Norm = Literal["l2", "linf"]
_BISECTIONS = 50


def projected(start: Tensor, slope: Tensor, fall: float, low: Tensor, high: Tensor, norm: Norm) -> Tensor:
    """The point z nearest to `start` with slope · (z - start) = -fall and low ≤ z ≤ high.

    min ‖z - s‖ subject to one linear equation and bounds. By the L2 norm z = clip(s - λ·slope), by the L∞ norm
    z = clip(s - λ·sign(slope)), where λ ≥ 0 is the one number that solves the equation; it is found by bisection, for
    the fall grows with λ (Croce & Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
    attack", 2020). Where the box does not reach so far, it is the box's furthest corner. A negative fall goes the other
    way.

    Args:
        start: Any shape, inside the box.
        slope: The gradient of the function whose level is wanted.
        fall: How much the linear function is to fall.
        low: Lower bounds.
        high: Upper bounds.
        norm: "l2" or "linf".
    """
    if fall < 0:
        return projected(start, -slope, -fall, low, high, norm)
    direction = slope if norm == "l2" else slope.sign()
    corner = torch.where(slope > 0, low, torch.where(slope < 0, high, start))
    if _fall(start, corner, slope) <= fall:
        return corner
    free = (direction.abs() > 0) & (corner != start)
    reach = ((corner - start)[free] / -direction[free]).max()  # from here on every entry has reached its bound
    least, most = torch.zeros_like(reach), reach
    # The unconstrained answer, which is exact where no bound is met.
    plain = torch.as_tensor(fall, dtype=torch.float64) / (slope.double() * direction.double())[free].sum()
    candidate = start - plain.to(start) * direction
    if bool(((candidate >= low) & (candidate <= high) | ~free).all()):
        return torch.where(free, candidate, start)
    for _ in range(_BISECTIONS):
        middle = (least + most) / 2
        point = (start - middle * direction).clamp(low, high)
        if _fall(start, point, slope) < fall:
            least = middle
        else:
            most = middle
    return (start - most * direction).clamp(low, high)


def length(change: Tensor, norm: Norm) -> float:
    """The norm of a change."""
    return float(change.norm() if norm == "l2" else change.abs().max())


def _fall(start: Tensor, point: Tensor, slope: Tensor) -> float:
    return float(((start - point) * slope).sum(dtype=torch.float64))
