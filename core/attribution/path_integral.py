"""The mean gradient along a path: by a fixed rule, or with as many steps as it takes, where it takes them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from core.attribution.quadrature import Rule, nodes_and_weights
from core.attribution.straight_path import StraightPath

_FIRST_PARTS = 8
_THIRDS = np.array([[2, 1], [1, 2]]) / 3
"""From both ends of a part to the two points that cut it in three."""
_MOST_HELD = 16
"""Gradients held apart from their sum."""
_ROUNDING = 2e-7
"""Of the largest score on the path: differences below it are float32's own."""


@dataclass(frozen=True, eq=False)
class PathIntegral:
    """∫ ∂target / ∂image dα over [0, 1], approximated.

    Attributes:
        mean_gradient: Float64 (C, H, W).
        steps: Gradients taken.
        looks: Scores looked at without a gradient, both ends left out.
        stopped: Why no more steps were taken.
    """

    mean_gradient: Tensor
    steps: int
    looks: int
    stopped: Literal["fixed", "tolerance", "budget"]


def integrate(path: StraightPath, rule: Rule, n_steps: int, count: Callable[[int], object]) -> PathIntegral:
    """By a rule with `n_steps` nodes; `count` is called with the number of gradients after each batch."""
    nodes, weights = nodes_and_weights(rule, n_steps)
    total = torch.zeros_like(path.difference, dtype=torch.float64)
    for start, gradients in path.gradients(nodes):
        _add(total, gradients, weights[start:])
        count(start + len(gradients))
    return PathIntegral(total, n_steps, 0, "fixed")


def integrate_adaptively(
    path: StraightPath, ends: tuple[float, float], tolerance: float, budget: int, count: Callable[[int], object]
) -> PathIntegral:
    """With steps where the score bends.

    Completeness holds on every part of the path: over [a, b], Σ (image - baseline) · ∫ gradient = score(b) - score(a).
    So a part of which only the gradient in its middle is known tells its own error; the part with the largest is cut
    in three, whose middle one keeps the gradient, so that nothing is computed in vain. Of all gradients only a few are
    held apart from their sum; a part whose gradient is no longer held and that has to be cut computes it again.
    (Steps where the score changes are the idea of Bhat & Raychowdhury, "Non-uniform interpolation in integrated
    gradients for low-latency explainable-AI", 2023, who fix their number beforehand.)

    It ends when both |Σ error| and √Σ error² are small enough: the first alone can be small by chance.

    Args:
        path: The path.
        ends: The scores at its two ends.
        tolerance: The error to reach, as a fraction of the difference of the ends.
        budget: The most gradients to take.
        count: Called with the number of gradients taken so far.
    """
    first = min(_FIRST_PARTS, budget)
    alphas = np.linspace(0, 1, first + 1)
    scores = np.concatenate(([ends[0]], path.scores(alphas[1:-1]), [ends[1]]))
    allowed = max(tolerance * abs(ends[1] - ends[0]), _ROUNDING * float(np.abs(scores).max()))
    parts = _Parts(path)
    parts.add(alphas, scores)
    steps, looks = first, first - 1
    count(steps)
    while not parts.within(allowed) and steps + 3 <= budget:
        worst = parts.take_worst(min(max(1, path.batch_size // 2), (budget - steps) // 3))
        cuts = np.concatenate([np.array([part.start, part.end]) @ _THIRDS for part in worst])
        looked = path.scores(cuts)
        parts.refine(worst, cuts.reshape(-1, 2), looked.reshape(-1, 2))
        looks += len(cuts)
        steps = first + looks - (first - 1) + parts.again
        count(steps)
    return PathIntegral(parts.total(), steps, looks, "tolerance" if parts.within(allowed) else "budget")


@dataclass(frozen=True, eq=False)
class _Part:
    start: float
    end: float
    start_score: float
    end_score: float
    slope: float
    """Σ (image - baseline) · gradient in its middle."""
    gradient: Tensor | None
    """In its middle, float32 (C, H, W); None once it is in the sum."""

    @property
    def length(self) -> float:
        return self.end - self.start

    @property
    def error(self) -> float:
        return self.length * self.slope - (self.end_score - self.start_score)


class _Parts:
    """The parts of the path. Those with the largest errors keep their gradients; the others' are summed up."""

    def __init__(self, path: StraightPath) -> None:
        self._path = path
        self._difference = path.difference.double()
        self._sum = torch.zeros_like(self._difference)
        self._parts: list[_Part] = []
        self.again = 0
        """Gradients computed a second time, because a part that had given its own away had to be cut after all."""

    def within(self, allowed: float) -> bool:
        errors = np.array([part.error for part in self._parts])
        return max(abs(float(errors.sum())), float(np.linalg.norm(errors))) <= allowed

    def total(self) -> Tensor:
        return self._sum + sum(
            part.length * part.gradient.double() for part in self._parts if part.gradient is not None
        )

    def take_worst(self, number: int) -> list[_Part]:
        self._parts.sort(key=lambda part: abs(part.error))
        worst = self._parts[-number:]
        del self._parts[-number:]
        return [part if part.gradient is not None else self._taken_back(part) for part in worst]

    def add(self, alphas: np.ndarray, scores: np.ndarray) -> None:
        """New parts between neighbouring α."""
        self._measure(list(zip(alphas[:-1], alphas[1:], scores[:-1], scores[1:], strict=True)))

    def refine(self, parts: list[_Part], cuts: np.ndarray, scores: np.ndarray) -> None:
        """Parts cut in three at `cuts` (n, 2), where the scores are `scores` (n, 2)."""
        new = []
        for part, (first, second), (score, next_score) in zip(parts, cuts, scores, strict=True):
            self._parts.append(replace(part, start=first, end=second, start_score=score, end_score=next_score))
            new += [(part.start, first, part.start_score, score), (second, part.end, next_score, part.end_score)]
        self._measure(new)

    def _measure(self, new: list[tuple[float, float, float, float]]) -> None:
        middles = np.array([(start + end) / 2 for start, end, *_ in new])
        for first, gradients in self._path.gradients(middles):
            for (start, end, score, next_score), gradient in zip(new[first:], gradients, strict=False):
                slope = float((gradient * self._difference).sum())
                self._parts.append(_Part(start, end, score, next_score, slope, gradient.clone()))
            self._sum_up()

    def _sum_up(self) -> None:
        holding = [number for number, part in enumerate(self._parts) if part.gradient is not None]
        holding.sort(key=lambda number: abs(self._parts[number].error))
        for number in holding[: max(0, len(holding) - _MOST_HELD)]:
            part = self._parts[number]
            self._sum.add_(part.gradient, alpha=part.length)  # type: ignore[arg-type]  # those that hold one
            self._parts[number] = replace(part, gradient=None)

    def _taken_back(self, part: _Part) -> _Part:
        self.again += 1
        ((_, gradients),) = self._path.gradients(np.array([(part.start + part.end) / 2]))
        self._sum.sub_(gradients[0], alpha=part.length)
        return replace(part, gradient=gradients[0])


def _add(total: Tensor, gradients: Tensor, weights: np.ndarray) -> None:
    for gradient, weight in zip(gradients, weights, strict=False):
        total.add_(gradient, alpha=float(weight))
