"""Integrated Gradients: the gradient averaged on the way from a baseline to the image, times the way."""

import time
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from ..compute.memory import ShrinkingBatches, fitting_batch_size
from ..errors import UserError
from ..segmenter import Image, Segmenter, prediction_of
from ..target import Target
from .attribution import Attribution, image_hash, make_attribution
from .automatic_steps import integrate_adaptively
from .baselines import DEFAULT_DRAWS, DEFAULT_SIGMA, BaselineKind, make_baseline
from .path_integral import integrate
from .quadrature import Rule, nodes_and_weights
from .smoothgrad import Progress
from .straight_path import StraightPath

DEFAULT_STEPS = 50
DEFAULT_TOLERANCE = 0.01
DEFAULT_BUDGET = 600


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
        n_steps: Gradients along the path, for each baseline; "auto" takes them where the map still changes and where
            the score bends, until both errors are below `tolerance` or `max_steps` are taken.
        method: The quadrature rule of a fixed number of steps; see `nodes_and_weights`.
        internal_batch_size: Steps that run through the network together; None finds what fits into memory. It does
            not change the result.
        seed: Of random baselines.
        sigma: Of a blurred baseline, in pixels.
        draws: Number of random baselines.
        tolerance: Of "auto": the error to reach for each baseline: the delta as a fraction of the difference of the
            scores, and the estimated error of the map as a fraction of Σ |values|.
        max_steps: Of "auto": the most gradients, for each baseline.
        progress: See `Progress`; counts gradients.

    Returns:
        Values (C, H, W) in units of the score. `measured` holds `steps`, `scores_looked_at`, `stopped` ("fixed",
        "tolerance" or "budget"), `missed` (what the budget was too small for: "", "map", "sum" or "map and sum"), the
        scores of image and baseline, and the size of a batch.

    Raises:
        UserError: Settings that make no sense, or an image, target or baseline that does not fit the network.
    """
    started = time.perf_counter()
    _check_steps(n_steps, method, internal_batch_size, tolerance, max_steps)
    batch = segmenter.as_batch(image, single=True).detach()
    array = batch[0].cpu().numpy()
    chosen = make_baseline(array, baseline, sigma=sigma, draws=draws, seed=seed)
    most = max_steps if n_steps == "auto" else n_steps
    with torch.no_grad():
        logits = segmenter.logits(batch)
        score = float(target(logits)[0])
    batches = ShrinkingBatches(internal_batch_size or fitting_batch_size(segmenter, array, most))
    total = len(chosen.images) * most

    values = torch.zeros_like(batch[0], dtype=torch.float64)
    errors = torch.zeros_like(values)
    steps, looks = 0, 0
    missed: set[str] = set()
    baseline_scores: list[float] = []
    for number, start in enumerate(torch.from_numpy(chosen.images).to(batch.device)):
        path = StraightPath(segmenter, batch, start[None], target, batches)
        baseline_scores.append(float(path.scores(np.zeros(1))[0]))

        def count(taken: int, before: int = number * most) -> None:
            if progress is not None:
                progress(before + taken, total)

        if n_steps == "auto":
            integral = integrate_adaptively(path, (baseline_scores[-1], score), tolerance, max_steps, count)
        else:
            integral = integrate(path, method, n_steps, count)
        values += integral.mean_gradient * path.difference / len(chosen.images)
        if integral.error is not None:
            errors += integral.error * path.difference / len(chosen.images)
        steps, looks = steps + integral.steps, looks + integral.looks
        missed |= set(integral.missed)
    difference = score - float(np.mean(baseline_scores))
    delta = float(values.sum()) - difference
    parameters = {"baseline": chosen.kind, **chosen.parameters, "n_steps": n_steps}
    parameters |= {"tolerance": tolerance, "max_steps": max_steps} if n_steps == "auto" else {"rule": method}
    if chosen.kind == "image":
        parameters["baseline_sha256"] = image_hash(chosen.images[0])
    attribution = make_attribution(
        values,
        segmenter,
        image,
        target,
        "integrated_gradients",
        parameters,
        prediction_of(logits[0]),
        time.perf_counter() - started,
        unit=target.score_unit,
    )
    return replace(
        attribution,
        convergence_delta=delta,
        score_difference=difference,
        map_error=_map_error(errors, values, delta) if steps > len(chosen.images) else None,
        measured={
            "steps": steps,
            "scores_looked_at": looks,
            "stopped": "fixed" if n_steps != "auto" else "budget" if missed else "tolerance",
            "missed": " and ".join(sorted(missed)),
            "score": score,
            "baseline_score": float(np.mean(baseline_scores)),
            "batch_size": batches.size,
        },
    )


def _map_error(errors: torch.Tensor, values: torch.Tensor, delta: float) -> float | None:
    """Σ |error| / Σ |value|; no less than the delta tells, since the values without errors have none."""
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


def convergence(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    baseline: BaselineKind | Image = "zero",
    method: Rule = "gausslegendre",
    steps: tuple[int, ...] = (2, 4, 8, 16, 32, 64),
    *,
    sigma: float = DEFAULT_SIGMA,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[int, float]:
    """The delta in per cent of the score's difference after each number of steps, to see how many are enough.

    Arguments as in `integrated_gradients`; of random baselines one is drawn.
    """
    found = errors_by_steps(segmenter, image, target, baseline, method, steps, sigma, seed, progress)
    return {n_steps: sum_error for n_steps, (sum_error, _) in found.items()}


def errors_by_steps(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    baseline: BaselineKind | Image,
    method: Rule,
    steps: tuple[int, ...],
    sigma: float = DEFAULT_SIGMA,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[int, tuple[float, float]]:
    """`convergence_percent` and `map_error_percent` after each number of steps; arguments as in `convergence`."""
    found: dict[int, tuple[float, float]] = {}
    done = 0
    for n_steps in steps:

        def count(part: int, _total: int, done: int = done) -> None:
            if progress is not None:
                progress(done + part, sum(steps))

        result = integrated_gradients(
            segmenter, image, target, baseline, n_steps, method, None, seed, sigma=sigma, draws=1, progress=count
        )
        found[n_steps] = result.convergence_percent, result.map_error_percent
        done += n_steps
    return found
