"""The straight path from a baseline to the image, and the mean gradient along it by a fixed rule."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..compute.memory import ShrinkingBatches
from ..errors import UserError
from ..segmenter import Segmenter
from ..segmenter.differentiation import input_gradient
from ..target import Target

Rule = Literal["gausslegendre", "midpoint", "left", "right", "trapezoid"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, eq=False)
class StraightPath:
    """Images baseline + α · (image - baseline), of which only one batch is held at a time.

    Attributes:
        segmenter: The network.
        image: (1, C, H, W) on the segmenter's device.
        baseline: The same shape and device.
        target: The scalar explained.
        batches: The size of a batch; it shrinks when memory runs out.
    """

    segmenter: Segmenter
    image: Tensor
    baseline: Tensor
    target: Target
    batches: ShrinkingBatches

    @cached_property
    def difference(self) -> Tensor:
        """Image - baseline, float32 (C, H, W)."""
        return (self.image - self.baseline)[0]

    @torch.no_grad()
    def scores(self, alphas: np.ndarray) -> np.ndarray:
        """Scores of the target at each α, float64 (n,)."""

        def work(start: int, stop: int) -> np.ndarray:
            return self.target(self.segmenter.logits(self._images(alphas[start:stop]))).double().cpu().numpy()

        return np.concatenate([scores for _, _, scores in self.batches.run_each(len(alphas), work)])

    def gradients(self, alphas: np.ndarray) -> Iterator[tuple[int, Tensor]]:
        """∂target / ∂image at each α, in batches: the number of the first and gradients (b, C, H, W)."""

        def work(start: int, stop: int) -> Tensor:
            images = self._images(alphas[start:stop]).requires_grad_()
            return input_gradient(self.target(self.segmenter.logits(images)).sum(), images)

        return ((start, gradients) for start, _, gradients in self.batches.run_each(len(alphas), work))

    def _images(self, alphas: np.ndarray) -> Tensor:
        factors = torch.tensor(alphas, dtype=torch.float32, device=self.baseline.device)
        return self.baseline + factors.view(-1, 1, 1, 1) * self.difference


@dataclass(frozen=True, eq=False)
class PathIntegral:
    """∫ ∂target / ∂image dα over [0, 1], approximated.

    Attributes:
        mean_gradient: Float64 (C, H, W).
        error: Estimated error of `mean_gradient` up to its sign, float64 (C, H, W); None where the steps tell nothing.
        steps: Gradients taken.
        looks: Scores looked at without a gradient, both ends left out.
        expected: Gradients that it will have taken in the end; None before that can be told.
        missed: What did not reach the tolerance within the budget: the "sum" of the map, the "map" itself.
    """

    mean_gradient: Tensor
    error: Tensor | None
    steps: int
    looks: int
    expected: int | None
    missed: tuple[str, ...] = ()


def integrate(path: StraightPath, rule: Rule, n_steps: int) -> Iterator[PathIntegral]:
    """The integral by a rule with `n_steps` nodes, as it stands after each batch of gradients; the last is the whole.

    The nodes are taken in van der Corput's order, so that those so far are spread over the whole path, and their
    weights are scaled to sum to 1: each integral is a coarser one of the same. (From the baseline on, the first half of
    the nodes would give the integral of another path, that to the image at half its difference to the baseline.)

    The error is estimated without further gradients, by how far the last doubling of steps moved the map: every other
    node is one half, the nodes between them are the other, the weights of each are scaled to sum to 1, and the estimate
    is the mean distance of the whole from a half. Where ReLUs switch along the path, the error falls as 1 / steps, so a
    half is off by twice as much as the whole, and they are as far apart as the whole is off or farther. It is an
    estimate, not a bound: for a smooth score it is far too large, and a score with very few switches can hide from it.
    """
    nodes, weights = nodes_and_weights(rule, n_steps)
    order = _spread_order(n_steps)
    even, odd = halves = [torch.zeros_like(path.difference, dtype=torch.float64) for _ in range(2)]
    done = [0.0, 0.0]
    for start, gradients in path.gradients(nodes[order]):
        stop = start + len(gradients)
        for number, gradient in zip(order[start:stop], gradients, strict=True):
            halves[number % 2].add_(gradient, alpha=float(weights[number]))
            done[number % 2] += weights[number]
        # The whole is as far from one half as the other half weighs, in units of their distance: half of it on average.
        error = (even / done[0] - odd / done[1]) / 2 if all(done) else None
        yield PathIntegral((even + odd) / sum(done), error, stop, 0, n_steps)


def _spread_order(n: int) -> list[int]:
    """The numbers 0 … n - 1 by their bits in reverse, 0 at the end: any first few of them are spread over all."""
    return sorted(range(n), key=lambda number: (number == 0, f"{number:064b}"[::-1]))


def nodes_and_weights(rule: Rule, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [0, 1], ascending, and their weights, both float64 (n,); the weights sum to 1.

    - gausslegendre: exact for polynomials of degree 2n - 1 (Golub & Welsch 1969).
    - midpoint: (i + 1/2) / n; left: i / n; right: (i + 1) / n, all of weight 1/n.
    - trapezoid: i / (n - 1), of weight 1/(n - 1), half of that at both ends.

    Raises:
        UserError: An unknown rule or too few nodes.
    """
    if rule not in RULES:
        raise UserError(f'The rule is one of {", ".join(RULES)}; "{rule}" was given.')
    fewest = 2 if rule == "trapezoid" else 1
    if n < fewest:
        raise UserError(f"The {rule} rule needs at least {fewest} steps; {n} were given.")
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(n)
        return (nodes + 1) / 2, weights / weights.sum()
    if rule == "trapezoid":
        weights = np.full(n, 1 / (n - 1))
        weights[[0, -1]] /= 2
        return np.arange(n) / (n - 1), weights
    shift = {"left": 0.0, "midpoint": 0.5, "right": 1.0}[rule]
    return (np.arange(n) + shift) / n, np.full(n, 1 / n)
