"""The score as the most important pixels go, or come back, first; deletion and insertion are read off it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..attribution.settings import setting
from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Target
from .perturbed_runs import PerturbedRuns, RemovalSettings

Spacing = Literal["even", "quadratic"]

DEFAULT_STEPS = 16
_PLAIN = RemovalSettings()
_HALF = 0.5
_ROUNDING = 1e-6
_EXPONENTS: dict[Spacing, int] = {"even": 1, "quadratic": 2}


@dataclass(frozen=True)
class CurveSettings:
    """Settings of deletion and insertion."""

    n_steps: int = setting(
        DEFAULT_STEPS, label="Steps", option="steps", low=2, high=200,
        help="Steps of the curves of deletion and insertion, smaller at the beginning, where most happens.",
    )  # fmt: skip
    spacing: Spacing = setting("quadratic", on_page=False, help="quadratic: small steps first; even: all alike.")

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise UserError(f"Deletion and insertion have at least one step; {self.n_steps} was given.")
        if self.spacing not in _EXPONENTS:
            raise UserError(f'The spacing of the steps is one of {", ".join(_EXPONENTS)}; "{self.spacing}" was given.')


@dataclass(frozen=True, eq=False)
class Curve:
    """A score over the fraction of the pixels that are changed.

    Attributes:
        fractions: Float64 (n + 1,), from 0 to 1, of the pixels that may be changed: what really was changed, so that
            the last step may be shorter than the others.
        scores: Float64 (n + 1,).
        leakage: Float64 (n + 1,), see `LeakageScore`; NaN where the target is the whole image.
    """

    fractions: np.ndarray
    scores: np.ndarray
    leakage: np.ndarray

    @property
    def auc(self) -> float:
        """The area under the scores by the trapezoid rule, in units of the score."""
        return float(np.trapezoid(self.scores, self.fractions))

    @property
    def leakage_at_half(self) -> float:
        """The leakage when the score first is half way between its two ends, read off between the steps.

        NaN where the two ends are the same, or the leakage is not defined.
        """
        way = self.scores[-1] - self.scores[0]
        if way == 0:
            return float("nan")
        travelled = (self.scores - self.scores[0]) / way
        after = int(np.argmax(travelled >= _HALF))
        before = after - 1
        part = (_HALF - travelled[before]) / (travelled[after] - travelled[before])
        return float(self.leakage[before] + part * (self.leakage[after] - self.leakage[before]))


def removal_curve(
    runs: PerturbedRuns,
    importance: np.ndarray,
    n_steps: int = DEFAULT_STEPS,
    spacing: Spacing = "even",
    *,
    inserted: bool = False,
) -> Curve:
    """The score while the most important pixels are replaced first (deletion), or come back first (insertion).

    Petsiuk, Das & Saenko, "RISE", 2018, where pixels come back onto a blurred image. A faithful map makes the score
    fall, or rise, early: deletion is better with a lower area, insertion with a higher one.

    Args:
        runs: The target, what a pixel becomes, which score is followed.
        importance: (H, W) or (1, H, W), higher goes first; see `core.attribution.registry.importance`. Equal pixels go
            in an order that is drawn, not in that of the rows.
        n_steps: Number of steps, at most; few pixels take fewer.
        spacing: How the steps are spaced, see `removal_steps`.
        inserted: Insertion instead of deletion.

    Raises:
        UserError: A map of another size or with values that are not finite, or fewer than one step.
    """
    step_of, fractions = removal_steps(importance, runs.eligible, n_steps, runs.settings.seed, spacing)
    steps = len(fractions) - 1
    if not inserted:
        step_of = np.where(step_of < 0, steps, step_of)
    step_at = torch.from_numpy(step_of.astype(np.int16)).to(runs.image.device)
    there, gone = (runs.fill, runs.image) if inserted else (runs.image, runs.fill)

    def images(start: int, stop: int) -> torch.Tensor:
        now = torch.arange(start + 1, stop + 1, dtype=torch.int16, device=step_at.device).view(-1, 1, 1, 1)
        return torch.where(step_at < now, gone, there)

    between = runs.run(images, steps - 1)
    first, last = (runs.all_gone, runs.unchanged) if inserted else (runs.unchanged, runs.all_gone)
    scores = {name: np.concatenate((first[name], between[name], last[name])) for name in between}
    return Curve(fractions, scores["score"], scores["leakage"])


def deletion(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    importance: np.ndarray,
    settings: RemovalSettings = _PLAIN,
    n_steps: int = DEFAULT_STEPS,
    progress: Progress | None = None,
    spacing: Spacing = "even",
) -> Curve:
    """The curve of deletion of one map; arguments and errors as in `PerturbedRuns` and `removal_curve`."""
    runs = PerturbedRuns(segmenter, image, target, settings, progress, n_steps + 1)
    return removal_curve(runs, importance, n_steps, spacing)


def insertion(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    importance: np.ndarray,
    settings: RemovalSettings = _PLAIN,
    n_steps: int = DEFAULT_STEPS,
    progress: Progress | None = None,
    spacing: Spacing = "even",
) -> Curve:
    """The curve of insertion of one map; arguments and errors as in `PerturbedRuns` and `removal_curve`."""
    runs = PerturbedRuns(segmenter, image, target, settings, progress, n_steps + 1)
    return removal_curve(runs, importance, n_steps, spacing, inserted=True)


def removal_steps(
    importance: np.ndarray, eligible: np.ndarray, n_steps: int, seed: int = 0, spacing: Spacing = "even"
) -> tuple[np.ndarray, np.ndarray]:
    """At which step each pixel goes, and which fraction has gone after each step.

    Args:
        importance: As in `removal_curve`; equal pixels go in an order drawn with `seed`.
        eligible: Bool (H, W), the pixels that may go.
        n_steps: As in `removal_curve`.
        seed: Seed of the order of equal pixels.
        spacing: After step k of n, ⌈pixels · k / n⌉ are gone if "even", ⌈pixels · (k / n)²⌉ if "quadratic": small steps
            first, where the order matters most and curves bend.

    Returns:
        Int16 (H, W), from 0 on, -1 for a pixel that stays; and float64 (n + 1,) fractions from 0 to 1.

    Raises:
        UserError: As `removal_curve`.
    """
    importance = np.asarray(importance)
    if importance.shape == (1, *eligible.shape):
        importance = importance[0]
    if importance.shape != eligible.shape:
        raise UserError(f"The map is {importance.shape}, the image {eligible.shape}; they must be of one size.")
    if not np.isfinite(importance).all():
        raise UserError("The map has values that are not finite, so its pixels have no order.")
    if not 1 <= n_steps < 2**15:
        raise UserError(f"The number of steps is at least 1 and at most {2**15 - 1}; {n_steps} was given.")
    places = np.flatnonzero(eligible)
    shuffled = np.random.default_rng(seed).permutation(places)
    order = shuffled[np.argsort(-importance.ravel()[shuffled].astype(np.float64), kind="stable")]
    parts = (np.arange(n_steps + 1) / n_steps) ** _EXPONENTS[spacing]
    gone = np.unique(np.ceil(len(order) * parts - _ROUNDING)).astype(np.int64)
    step_of = np.full(eligible.shape, -1, np.int16)
    step_of.ravel()[order] = np.searchsorted(gone[1:], np.arange(len(order)), side="right")
    return step_of, gone / len(order)
