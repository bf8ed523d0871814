"""Integrated Gradients: the gradient averaged on the way from a baseline to the image, times the way."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..compute.memory import ShrinkingBatches, fitting_batch_size
from ..compute.progress import About, AtMost, Progress, progress_of_part
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Target
from .attribution import Attribution, make_attribution
from .automatic_steps import integrate_adaptively
from .baselines import DEFAULT_DRAWS, DEFAULT_SIGMA, TITLES, BaselineKind, make_baseline, sigma_setting
from .path_integral import PathIntegral, Rule, StraightPath, integrate, nodes_and_weights
from .registry import Method, register
from .settings import seed_setting, setting

DEFAULT_STEPS = 50
DEFAULT_TOLERANCE = 0.01
DEFAULT_BUDGET = 600
_FEWEST_TO_SHOW = 3
"""Gradients before which a map says little."""
_SECONDS_BETWEEN_MAPS = 1.0

Show = Callable[[Attribution], object]
"""Called about once a second with the attribution by the steps so far, whose `measured["stopped"]` is "unfinished"."""


def integrated_gradients(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    baseline: BaselineKind | Image = "zero",
    n_steps: int | Literal["auto"] = DEFAULT_STEPS,
    method: Rule = "gausslegendre",
    internal_batch_size: int | None = None,
    seed: int = 0,
    *,
    sigma: float = DEFAULT_SIGMA,
    draws: int = DEFAULT_DRAWS,
    tolerance: float = DEFAULT_TOLERANCE,
    max_steps: int = DEFAULT_BUDGET,
    progress: Progress | None = None,
    show: Show | None = None,
) -> Attribution:
    """(image - baseline) · ∫₀¹ ∂target / ∂image at baseline + α · (image - baseline) dα.

    Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", 2017. The values sum up to score(image) -
    score(baseline); how far they are from that is the result's `convergence_delta`. Errors of opposite sign cancel in
    a sum, so each value can be farther off: `map_error` estimates that, from how much the last refinement of the path
    changed the map (see `integrate` and `integrate_adaptively`). With several random baselines, values, delta,
    difference and error are the means over them.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        baseline: "zero", "random", "blur", "mean" or an image (C, H, W); see `make_baseline`.
        n_steps: Gradients along the path, per baseline; "auto" takes them where the map still changes and where
            the score bends, until both errors are below `tolerance` or `max_steps` are taken.
        method: The quadrature rule of a fixed number of steps; see `nodes_and_weights`.
        internal_batch_size: Steps that run through the network together; None finds what fits into memory. It does
            not change the result.
        seed: Seed of random baselines.
        sigma: Sigma of a blurred baseline, in pixels.
        draws: Number of random baselines.
        tolerance: Error that "auto" reaches per baseline: the delta as a fraction of the difference of the scores, and
            the estimated error of the map as a fraction of Σ |values|.
        max_steps: Most gradients that "auto" takes per baseline.
        progress: See `Progress`; counts gradients.
        show: See `Show`. Steps so far are spread over the whole path, so their map is a coarser one of the same kind.

    Returns:
        Values (C, H, W) in units of the score. `measured` holds `steps`, `scores_looked_at`, `stopped` ("fixed",
        "tolerance" or "budget"), `missed` (what the budget was too small for: "", "map", "sum" or "map and sum"), the
        scores of image and baseline, and the size of a batch.

    Raises:
        UserError: A setting out of its range, or an image, target or baseline that does not fit the network.
    """
    started = time.perf_counter()
    _check_steps(n_steps, method, internal_batch_size, tolerance, max_steps)
    batch = segmenter.as_batch(image, single=True).detach()
    array = batch[0].cpu().numpy()
    chosen = make_baseline(array, baseline, sigma=sigma, draws=draws, seed=seed)
    most = max_steps if n_steps == "auto" else n_steps
    with torch.no_grad():
        score = float(target(segmenter.logits(batch))[0])
    batches = ShrinkingBatches(internal_batch_size or fitting_batch_size(segmenter, array, most))
    baselines = len(chosen.images)
    parameters = chosen.describe("baseline") | {"n_steps": n_steps}
    parameters |= {"tolerance": tolerance, "max_steps": max_steps} if n_steps == "auto" else {"rule": method}

    def attribution(found: _Sums, stopped: str) -> Attribution:
        values, baseline_score = found.values / found.baselines, found.baseline_scores / found.baselines
        difference = score - baseline_score
        delta = float(values.sum()) - difference
        measured = {
            "steps": found.steps,
            "scores_looked_at": found.looks,
            "stopped": stopped,
            "missed": " and ".join(sorted(found.missed)),
            "score": score,
            "baseline_score": baseline_score,
            "batch_size": batches.size,
        }
        return make_attribution(
            values, segmenter, image, target, "integrated_gradients", parameters, started, target.score_unit,
            convergence_delta=delta, score_difference=difference, measured=measured,
            map_error=None if found.errors is None else _map_error(found.errors / found.baselines, values, delta),
        )  # fmt: skip

    zeros = torch.zeros_like(batch[0], dtype=torch.float64)
    found, next_shown = _Sums(zeros, zeros), 0.0
    for start in torch.from_numpy(chosen.images).to(batch.device):
        path = StraightPath(segmenter, batch, start[None], target, batches)
        start_score = float(path.scores(np.zeros(1))[0])
        if n_steps == "auto":
            integrals = integrate_adaptively(path, (start_score, score), tolerance, max_steps)
        else:
            integrals = integrate(path, method, n_steps)
        before = found
        for integral in integrals:
            found = before.plus(path, start_score, integral)
            if progress is not None:
                total = before.total(integral.expected, baselines, most)
                progress(found.steps, int(total) if n_steps != "auto" else total)
            if show is not None and found.steps >= _FEWEST_TO_SHOW and time.perf_counter() >= next_shown:
                show(attribution(found, "unfinished"))
                next_shown = time.perf_counter() + _SECONDS_BETWEEN_MAPS
    return attribution(found, "fixed" if n_steps != "auto" else "budget" if found.missed else "tolerance")


@register
class IntegratedGradients(Method):
    """See `integrated_gradients`."""

    name = "integrated_gradients"
    title = "Integrated Gradients"
    kind = "contribution"
    sentence = "Each pixel's share of the score's difference to the baseline."
    aliases = ("ig",)

    @dataclass(frozen=True)
    class Settings:
        baseline: BaselineKind | Image = setting(
            "zero", label="Baseline of Integrated Gradients", key="ig_baseline", choices=TITLES,
            help="The image without information from which the path starts.",
        )  # fmt: skip
        n_steps: int | Literal["auto"] = setting(
            DEFAULT_STEPS, label="Steps of Integrated Gradients", help="Gradients along the path, or auto.",
            option="steps", key="ig_steps", low=2, high=1000, quick=32,
        )  # fmt: skip
        rule: Rule = setting("gausslegendre", help="Quadrature rule of a fixed number of steps.", on_page=False)
        seed: int = seed_setting()
        sigma: float = sigma_setting()
        draws: int = setting(DEFAULT_DRAWS, help="Number of random baselines.", low=1, on_page=False)
        tolerance: float = setting(
            DEFAULT_TOLERANCE, help="Error of map and sum that automatic steps reach, as a fraction.", on_page=False
        )
        max_steps: int = setting(DEFAULT_BUDGET, help="Most automatic steps per baseline.", low=3, on_page=False)

    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: Settings, progress: Progress | None,
        show: Show | None = None,
    ) -> Attribution:  # fmt: skip
        given = vars(settings) | {"method": settings.rule}
        del given["rule"]
        return integrated_gradients(segmenter, image, target, **given, progress=progress, show=show)

    def passes(self, settings: Settings, segmenter: Segmenter, size: tuple[int, int]) -> int:
        steps = settings.max_steps if settings.n_steps == "auto" else settings.n_steps
        return steps * (settings.draws if isinstance(settings.baseline, str) and settings.baseline == "random" else 1)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over baselines.

    Attributes:
        values: Values, float64 (C, H, W).
        errors: Estimated errors of `values`, the same shape; None where one of them is not known.
        baselines: Number of baselines.
        steps: Gradients taken.
        looks: Scores looked at without a gradient.
        baseline_scores: Scores of the baselines.
        missed: What did not reach the tolerance.
    """

    values: torch.Tensor
    errors: torch.Tensor | None
    baselines: int = 0
    steps: int = 0
    looks: int = 0
    baseline_scores: float = 0.0
    missed: frozenset[str] = frozenset()

    def plus(self, path: StraightPath, baseline_score: float, integral: PathIntegral) -> "_Sums":
        """The sums with those of one more baseline."""
        is_known = self.errors is not None and integral.error is not None
        return _Sums(
            self.values + integral.mean_gradient * path.difference,
            self.errors + integral.error * path.difference if is_known else None,  # type: ignore[operator]
            self.baselines + 1,
            self.steps + integral.steps,
            self.looks + integral.looks,
            self.baseline_scores + baseline_score,
            self.missed | set(integral.missed),
        )

    def total(self, expected: int | None, baselines: int, most: int) -> AtMost | About:
        """Gradients of all baselines, where each of those left takes as many as `expected`, or else as those before."""
        left = baselines - self.baselines
        expected = expected or (self.steps // self.baselines if self.baselines else None)
        return AtMost(self.steps + left * most) if expected is None else About(self.steps + left * expected)


def _map_error(errors: torch.Tensor, values: torch.Tensor, delta: float) -> float | None:
    """Σ |error| / Σ |value|, and at least |delta| / Σ |value|; None for a map of zeros."""
    size = float(values.abs().sum())
    return max(float(errors.abs().sum()), abs(delta)) / size if size else None


def _check_steps(
    n_steps: int | Literal["auto"], method: Rule, batch_size: int | None, tolerance: float, max_steps: int
) -> None:
    if n_steps == "auto":
        if not 0 < tolerance < 1:
            raise UserError(f"The tolerance is a fraction between 0 and 1; {tolerance} was given.")
        if max_steps < 3:
            raise UserError(f"Automatic steps need a budget of at least 3; {max_steps} were given.")
    else:
        if not isinstance(n_steps, int | np.integer):
            raise UserError(f'The number of steps is a whole number or "auto"; {n_steps} was given.')
        nodes_and_weights(method, n_steps)
    if batch_size is not None and batch_size < 1:
        raise UserError(f"A batch holds at least one step; {batch_size} was given.")


def errors_by_steps(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    baseline: BaselineKind | Image = "zero",
    method: Rule = "gausslegendre",
    steps: tuple[int, ...] = (2, 4, 8, 16, 32, 64),
    sigma: float = DEFAULT_SIGMA,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[int, tuple[float, float]]:
    """`convergence_percent` and `map_error_percent` after each number of steps, to see how many are enough.

    Arguments as in `integrated_gradients`; one random baseline is drawn.
    """
    found: dict[int, tuple[float, float]] = {}
    for index, n_steps in enumerate(steps):
        part = progress_of_part(progress, sum(steps[:index]), n_steps, sum(steps))
        result = integrated_gradients(
            segmenter, image, target, baseline, n_steps, method, None, seed, sigma=sigma, draws=1, progress=part
        )
        found[n_steps] = result.convergence_percent, result.map_error_percent
    return found
