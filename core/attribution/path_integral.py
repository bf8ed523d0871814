"""The mean gradient along a path by a fixed rule, and what every integral along a path is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .quadrature import Rule, nodes_and_weights
from .straight_path import StraightPath

Tolerated = Literal["sum", "map"]
"""What has an error: the sum of the map, and the map itself."""


@dataclass(frozen=True, eq=False)
class PathIntegral:
    """∫ ∂target / ∂image dα over [0, 1], approximated.

    Attributes:
        mean_gradient: Float64 (C, H, W).
        error: Estimated error of `mean_gradient` up to its sign, float64 (C, H, W); None where one step tells nothing.
        steps: Gradients taken.
        looks: Scores looked at without a gradient, both ends left out.
        missed: What did not reach the tolerance within the budget.
    """

    mean_gradient: Tensor
    error: Tensor | None
    steps: int
    looks: int
    missed: tuple[Tolerated, ...] = ()


def integrate(path: StraightPath, rule: Rule, n_steps: int, count: Callable[[int], object]) -> PathIntegral:
    """By a rule with `n_steps` nodes; `count` is called with the number of gradients after each batch.

    The error is estimated without further gradients, by how far the last doubling of steps moved the map: every other
    node is one half, the nodes between them are the other, the weights of each are scaled to sum to 1, and the estimate
    is the mean distance of the whole from a half. Where ReLUs switch along the path, the error falls as 1 / steps, so a
    half is off by twice as much as the whole, and they are as far apart as the whole is off or farther. It is an
    estimate, not a bound: for a smooth score it is far too large, and a score with very few switches can hide from it.
    """
    nodes, weights = nodes_and_weights(rule, n_steps)
    halves = [torch.zeros_like(path.difference, dtype=torch.float64) for _ in range(2)]
    for start, gradients in path.gradients(nodes):
        for number, gradient in enumerate(gradients, start):
            halves[number % 2].add_(gradient, alpha=float(weights[number]))
        count(start + len(gradients))
    even, odd = halves
    # The whole is as far from one half as the other half weighs, in units of their distance: half of it on average.
    error = None if n_steps == 1 else (even / weights[0::2].sum() - odd / weights[1::2].sum()) / 2
    return PathIntegral(even + odd, error, n_steps, 0)
