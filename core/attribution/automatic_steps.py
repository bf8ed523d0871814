"""The mean gradient along a path, with as many steps as it takes, where it takes them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .path_integral import PathIntegral, StraightPath

_FEWEST_STEPS = 9
"""The path in three parts, each in three: before that, estimates of the error mean little."""
_FEWEST_AT_ONCE = 6
"""Gradients of a round, where a batch holds fewer."""
_FEWEST_TO_EXPECT = 27
"""Gradients from which on their number in the end can be told within a factor of about two."""
_MOST_GROUPS = 16
"""Groups of parts, each of which holds two images."""
_ROUNDING = 2e-7
"""Share of the largest score, and of the map: differences below it are float32's own."""
_TINY = float(np.finfo(np.float64).tiny)


def integrate_adaptively(
    path: StraightPath, ends: tuple[float, float], tolerance: float, budget: int
) -> Iterator[PathIntegral]:
    """The integral with steps where the map still changes and where the score bends, as it stands after each round.

    The gradient in the middle of a part of the path stands for the whole part. A part is refined by cutting it in
    three, of which the middle one keeps the gradient, so that none is wasted. Two errors say where to refine and when
    to stop:

    - The map's: by how much the last refinement of every part changed the map, (image - baseline) · ∫ gradient. Where
      ReLUs switch along the path, the error falls as 1 / steps. So three parts have a third of the error that one had,
      the other two thirds or more are the change, and half of the change is the estimate. It is no bound.
    - The sum's: on every part [a, b] the values should sum to score(b) - score(a), so each part shows its own error.
      Both |Σ error| and √Σ error² count: the first alone can be small by chance.

    Parts are held in at most `_MOST_GROUPS` groups, and beyond that the two groups that matter least are merged. A
    group is refined as a whole, which needs only the sum of its gradients: the new ones come in, and the old ones count
    a third. (Steps where the score changes are the idea of Bhat & Raychowdhury, "Non-uniform interpolation in
    integrated gradients for low-latency explainable-AI", 2023, who fix their number beforehand.)

    Args:
        path: The path.
        ends: The scores at its two ends.
        tolerance: The error to reach: the sum's as a fraction of the difference of the ends, and the map's,
            Σ |error|, as a fraction of Σ |value|.
        budget: The most gradients to take, at least 3.
    """
    parts = _Parts(path, ends, tolerance)
    while True:
        errors = parts.errors()
        missed = tuple(name for name, error in errors.items() if error > 1)
        is_done = parts.steps >= _FEWEST_STEPS and not missed
        expected = parts.steps if is_done else None
        if not is_done and parts.steps >= _FEWEST_TO_EXPECT:
            expected = int(min(budget, parts.steps * max(errors.values())))  # errors fall as 1 / steps
        yield PathIntegral(parts.gradient, parts.change / 2, parts.steps, parts.looks, expected, missed)
        # No round more than doubles the steps, however large a batch is.
        at_once = max(_FEWEST_AT_ONCE, min(path.batches.size, parts.steps))
        if is_done or not parts.refine_most_urgent(at_once, budget - parts.steps):
            return


@dataclass(frozen=True, eq=False)
class _Group:
    """Parts that are refined together."""

    parts: np.ndarray
    """Where they start and end, float64 (n, 2)."""
    gradient: Tensor
    """Σ length · gradient in the middle, float32 (C, H, W)."""
    change: Tensor
    """Change of `gradient` by the last refinement, the same shape."""
    map_share: float
    """Σ |(image - baseline) · change|; a middle third, which changed nothing, is given its neighbours' mean."""
    sum_error: float
    """Σ (image - baseline) · gradient - rise."""
    rise: float
    """Difference of the scores over all parts."""
    start_score: float = np.nan
    """Score at the start of a single part."""


class _Parts:
    """The parts of the path, in groups."""

    def __init__(self, path: StraightPath, ends: tuple[float, float], tolerance: float) -> None:
        self._path = path
        self._difference = path.difference.double()
        self._tolerance = tolerance
        self._rise = ends[1] - ends[0]
        self._largest_score = max(map(abs, ends))
        self.steps = 0
        """Gradients taken."""
        self.looks = 0
        """Scores computed without a gradient."""
        whole = np.array([[0.0, 1.0]])
        (gradient,) = self._sums([whole])
        self._groups = [self._group(whole, gradient, torch.zeros_like(gradient), np.inf, self._rise, ends[0])]
        self._total()

    def errors(self) -> dict[str, float]:
        """The errors of the sum of the map and of the map itself, in units of what is allowed."""
        errors = np.array([group.sum_error for group in self._groups])
        sum_error = max(abs(float(errors.sum())), float(np.linalg.norm(errors)))
        return {
            "sum": sum_error / max(self._allowed_sum, _TINY),
            "map": self._size(self.change) / max(self._allowed_change, _TINY),
        }

    def refine_most_urgent(self, at_once: int, at_most: int) -> bool:
        """Refine the groups that matter most; False if `at_most` gradients are not enough for any.

        Args:
            at_once: Gradients to take, if the most urgent group does not need more.
            at_most: Gradients left.
        """
        chosen: list[_Group] = []
        taken = 0
        for group in sorted(self._groups, key=self._urgency, reverse=True):
            cost = 2 * len(group.parts)
            if taken + cost <= (min(at_once, at_most) if chosen else at_most):
                chosen.append(group)
                taken += cost
        if chosen:
            self._groups = [group for group in self._groups if group not in chosen]
            self._refine(chosen)
            self._merge()
            self._total()
        return bool(chosen)

    @property
    def _allowed_sum(self) -> float:
        return max(self._tolerance * abs(self._rise), _ROUNDING * self._largest_score)

    def _total(self) -> None:
        self.gradient = sum((group.gradient for group in self._groups), torch.zeros_like(self._difference))
        """Mean gradient, float64 (C, H, W)."""
        self.change = sum((group.change for group in self._groups), torch.zeros_like(self._difference))
        """Change of `gradient` by the last refinement of each part."""
        # The estimated error is half of the change.
        self._allowed_change = 2 * max(self._tolerance, _ROUNDING) * self._size(self.gradient)

    def _urgency(self, group: _Group) -> float:
        """Error per part, in units of what is allowed: the errors of several add up as their squares do."""
        map_error = group.map_share / max(self._allowed_change, _TINY)
        sum_error = abs(group.sum_error) / max(self._allowed_sum, _TINY)
        return max(map_error, sum_error) / np.sqrt(len(group.parts))

    def _refine(self, groups: list[_Group]) -> None:
        """Cut every part of some groups in three. A single part becomes three groups, several parts remain one."""
        points = [np.linspace(group.parts[:, 0], group.parts[:, 1], 4, axis=1) for group in groups]
        outer: list[np.ndarray] = []
        for cuts in points:
            sides = cuts[:, :2], cuts[:, 2:]
            outer += sides if len(cuts) == 1 else [np.concatenate(sides)]
        sums = iter(self._sums(outer))
        scores = iter(self._scores([cuts[0, 1:3] for cuts in points if len(cuts) == 1]))
        for group, cuts in zip(groups, points, strict=True):
            if len(cuts) == 1:
                self._groups += self._thirds(group, cuts[0], (next(sums), next(sums)), next(scores))
                continue
            gradient = group.gradient.double() / 3 + next(sums)
            change = gradient - group.gradient
            parts = np.concatenate([cuts[:, start : start + 2] for start in range(3)])
            self._groups.append(self._group(parts, gradient, change, self._size(change), group.rise))

    def _thirds(
        self, group: _Group, cuts: np.ndarray, outer: tuple[Tensor, Tensor], looked: np.ndarray
    ) -> Iterator[_Group]:
        """The thirds of a single part between `cuts` (4,): the sums of the outer two, and the scores between them."""
        middle = group.gradient.double() / 3
        gradients = outer[0], middle, outer[1]
        shares = [self._size(gradient - middle) for gradient in gradients]
        shares[1] = (shares[0] + shares[2]) / 2
        scores = [group.start_score, *map(float, looked), group.start_score + group.rise]
        for number, (gradient, share) in enumerate(zip(gradients, shares, strict=True)):
            part, score = cuts[None, number : number + 2], scores[number]
            yield self._group(part, gradient, gradient - middle, share, scores[number + 1] - score, score)

    def _merge(self) -> None:
        while len(self._groups) > _MOST_GROUPS:
            self._groups.sort(key=lambda group: group.map_share, reverse=True)
            one, other = self._groups.pop(), self._groups.pop()
            parts, gradient = np.concatenate((one.parts, other.parts)), one.gradient + other.gradient
            share, error = float(np.hypot(one.map_share, other.map_share)), one.sum_error + other.sum_error
            self._groups.append(_Group(parts, gradient, one.change + other.change, share, error, one.rise + other.rise))

    def _group(
        self, parts: np.ndarray, gradient: Tensor, change: Tensor, share: float, rise: float, start: float = np.nan
    ) -> _Group:
        error = float((gradient * self._difference).sum()) - rise
        return _Group(parts, gradient.float(), change.float(), share, error, rise, start)

    def _size(self, gradient: Tensor) -> float:
        return float((gradient * self._difference).abs().sum())

    def _sums(self, groups: list[np.ndarray]) -> Tensor:
        """Σ length · gradient in the middle, float64 (groups, C, H, W), of the parts (n, 2) of each group."""
        parts, owners = np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        sums = self._difference.new_zeros((len(groups), *self._difference.shape))
        lengths = parts[:, 1] - parts[:, 0]
        for start, gradients in self._path.gradients(parts.mean(axis=1)):
            for number, gradient in enumerate(gradients, start):
                sums[owners[number]].add_(gradient, alpha=float(lengths[number]))
        self.steps += len(parts)
        return sums

    def _scores(self, alphas: list[np.ndarray]) -> np.ndarray:
        """Scores at two α per row."""
        if not alphas:
            return np.empty((0, 2))
        scores = self._path.scores(np.concatenate(alphas))
        self.looks += len(scores)
        self._largest_score = max(self._largest_score, float(np.abs(scores).max()))
        return scores.reshape(-1, 2)
