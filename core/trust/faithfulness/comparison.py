"""Maps of one target put to the same tests, beside controls that know nothing of the network."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...attribution.attribution import Attribution
from ...attribution.registry import importance, predicted_drops
from ...compute.progress import Progress
from ...errors import UserError
from ...segmenter import Image, Segmenter
from ...target import Target
from ..controls import CONTROLS, ControlName, control
from ..controls import TITLES as CONTROL_TITLES
from ..localisation import localisation
from .curves import DEFAULT_STEPS, Curve, Spacing, deletion_of, insertion_of
from .imputation import ROAD_FRACTIONS, road
from .metrics import (
    DEFAULT_METRICS,
    LOCALISATION_METRICS,
    METRIC_NAMES,
    METRICS,
    MetricName,
)
from .perturbed import PerturbedRuns, RemovalSettings
from .removal import (
    DEFAULT_CELL,
    DEFAULT_FRACTIONS,
    DEFAULT_SUBSETS,
    Removals,
    infidelity,
    sample_removals,
    sensitivity_n,
)
from .stability import DEFAULT_COPIES, DEFAULT_RADIUS, max_sensitivity


@dataclass(frozen=True, eq=False)
class Candidate:
    """A map that is put to the test.

    Attributes:
        title: On screen.
        importance: Float32 (H, W), higher matters more: what is ranked and localised.
        drops: Float64 (H, W), by how much the map says the score drops when a pixel goes; None takes the importance.
        again: Makes the importance of another image (C, H, W), for max-sensitivity; None where that is not possible.
        is_control: Whether it knows nothing of the network.
        seconds: What the map took.
    """

    title: str
    importance: np.ndarray
    drops: np.ndarray | None = None
    again: Callable[[np.ndarray], np.ndarray] | None = None
    is_control: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class EvaluationSettings:
    """How thoroughly maps are tested.

    Attributes:
        removal: How pixels are taken away, and what is followed.
        n_steps: Of deletion and insertion.
        spacing: Of these steps, see `removal_steps`.
        n_subsets: Random sets of infidelity and sensitivity-n.
        cell: Side in pixels of what these sets are made of.
        radius: Of the noise of max-sensitivity, in units of intensity.
        n_copies: Noisy copies of max-sensitivity.
    """

    removal: RemovalSettings = field(default_factory=RemovalSettings)
    n_steps: int = DEFAULT_STEPS
    spacing: Spacing = "quadratic"
    n_subsets: int = DEFAULT_SUBSETS
    cell: int = DEFAULT_CELL
    radius: float = DEFAULT_RADIUS
    n_copies: int = DEFAULT_COPIES

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise UserError(f"Deletion and insertion have at least one step; {self.n_steps} was given.")
        if self.n_subsets < len(DEFAULT_FRACTIONS):
            raise UserError(
                f"Infidelity and sensitivity-n need at least {len(DEFAULT_FRACTIONS)} subsets, better 64; "
                f"{self.n_subsets} was given."
            )


USUAL = EvaluationSettings()


@dataclass(frozen=True, eq=False)
class Comparison:
    """What came out, for every candidate by its name.

    Attributes:
        candidates: As they were given, the controls among them.
        values: By candidate and metric; NaN where a metric is not defined.
        curves: By candidate and metric, those of deletion, insertion and ROAD; deletion's also hold the leakage.
    """

    candidates: Mapping[str, Candidate]
    values: Mapping[str, Mapping[MetricName, float]]
    curves: Mapping[str, Mapping[MetricName, Curve]]

    def ranked(self, metric: MetricName) -> list[str]:
        """Names of the candidates, the best first; those without a value last."""
        sign = 1 if METRICS[metric].direction == "lower" else -1
        defined = {name: numbers[metric] for name, numbers in self.values.items()}
        return sorted(defined, key=lambda name: (math.isnan(defined[name]), sign * defined[name]))

    def rank(self, name: str, metric: MetricName) -> int:
        """1 for the best, the same for equal values."""
        value = self.values[name][metric]
        others = [numbers[metric] for numbers in self.values.values()]
        if math.isnan(value):
            return 1 + sum(not math.isnan(other) for other in others)
        return 1 + sum(METRICS[metric].better(other, value) for other in others)

    def best_control(self, metric: MetricName) -> str | None:
        """Name of the control that does best; None where none has a value."""
        names = [name for name in self.ranked(metric) if self.candidates[name].is_control]
        return names[0] if names and not math.isnan(self.values[names[0]][metric]) else None

    def beats_controls(self, name: str, metric: MetricName) -> bool | None:
        """Whether a candidate is strictly better than every control; None where there is no verdict."""
        best = self.best_control(metric)
        value = self.values[name][metric]
        if best is None or math.isnan(value) or self.candidates[name].is_control:
            return None
        if not METRICS[metric].against_controls:
            return None
        return METRICS[metric].better(value, self.values[best][metric])

    def in_words(self, name: str, metric: MetricName) -> str:
        """Whether a candidate beats its controls, in a sentence."""
        candidate, value, best = self.candidates[name], self.values[name][metric], self.best_control(metric)
        if candidate.is_control:
            return "A control: it knows nothing of the network."
        if math.isnan(value) or best is None:
            return "Not defined here."
        if not METRICS[metric].against_controls:
            return "No verdict: a control that ignores the network does well here by nature."
        numbers = f"{value:.3g} against {self.values[best][metric]:.3g}"
        control_title = self.candidates[best].title
        if self.beats_controls(name, metric):
            return f"Better than every control; the best of them is {control_title} ({numbers})."
        return f"No better than a control that knows nothing of the network: {control_title} ({numbers})."


def candidate_of(
    attribution: Attribution,
    title: str,
    image: np.ndarray,
    fill: np.ndarray,
    explain: Callable[[np.ndarray], Attribution] | None = None,
) -> Candidate:
    """An attribution as a candidate.

    Args:
        attribution: Of the image.
        title: On screen.
        image: (C, H, W).
        fill: (C, H, W), what pixels become when they are taken away.
        explain: Makes the attribution of another image, for max-sensitivity.
    """
    return Candidate(
        title,
        importance(attribution),
        predicted_drops(attribution, image, fill),
        None if explain is None else lambda noisy: importance(explain(noisy)),
        seconds=attribution.seconds,
    )


def control_candidates(image: np.ndarray, target: Target, seed: int = 0) -> dict[str, Candidate]:
    """All controls as candidates, by name."""

    def made(name: ControlName) -> Candidate:
        def make(values: np.ndarray) -> np.ndarray:
            return control(name, values, target, seed)

        return Candidate(CONTROL_TITLES[name], make(image), again=make, is_control=True)

    return {name: made(name) for name in CONTROLS}


def compare(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    candidates: Mapping[str, Candidate],
    metrics: Sequence[MetricName] = DEFAULT_METRICS,
    settings: EvaluationSettings = USUAL,
    region: np.ndarray | None = None,
    known: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Every metric of every candidate.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: What the maps explain.
        candidates: By name; controls belong among them, see `control_candidates`.
        metrics: Names of `METRICS`.
        settings: How thoroughly. A map with values that are not finite has no value in any metric.
        region: Bool (H, W), the object that localisation looks for; without it, its metrics are NaN.
        known: Bool (H, W), the pixels at which the region is known; None knows all.
        progress: See `Progress`; counts images that ran through the network.

    Raises:
        UserError: An unknown metric, or what does not fit; see `deletion`.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise UserError(f'The metric is one of {", ".join(METRIC_NAMES)}; "{unknown[0]}" was given.')
    expected = images_needed(metrics, settings, len(candidates))
    runs = PerturbedRuns(segmenter, image, target, settings.removal, progress, expected)
    removals = None
    if {"infidelity", "sensitivity_n"} & set(metrics):
        removals = sample_removals(runs, n_subsets=settings.n_subsets, cell=settings.cell)
    values: dict[str, dict[MetricName, float]] = {}
    curves: dict[str, dict[MetricName, Curve]] = {}
    for name, candidate in candidates.items():
        if not np.isfinite(candidate.importance).all():
            runs.advance(_images_of_one(metrics, settings))
            values[name], curves[name] = dict.fromkeys(metrics, float("nan")), {}
            continue
        curves[name] = _curves(runs, candidate, metrics, settings)
        found = _areas(curves[name])
        found |= _removal_numbers(candidate, removals)
        if "max_sensitivity" in metrics:
            found["max_sensitivity"] = _stability(runs, candidate, settings)
        found |= _places(candidate, region, known)
        values[name] = {metric: found[metric] for metric in metrics}
    return Comparison(dict(candidates), values, curves)


def images_needed(metrics: Sequence[MetricName], settings: EvaluationSettings, n_candidates: int) -> int:
    """How many images run through the network, to tell beforehand; a noisy copy of max-sensitivity counts as one."""
    own = n_candidates * _images_of_one(metrics, settings)
    shared = settings.n_subsets * bool({"infidelity", "sensitivity_n"} & set(metrics))
    follows_a_score = shared or (n_candidates and not set(metrics) <= {"max_sensitivity", *LOCALISATION_METRICS})
    return own + shared + 2 * bool(follows_a_score)


def _images_of_one(metrics: Sequence[MetricName], settings: EvaluationSettings) -> int:
    """Of one candidate, the two ends of the curves left out, which all share."""
    curves = (settings.n_steps - 1) * (bool({"deletion", "leakage"} & set(metrics)) + ("insertion" in metrics))
    return curves + len(ROAD_FRACTIONS) * ("road" in metrics) + settings.n_copies * ("max_sensitivity" in metrics)


def _curves(
    runs: PerturbedRuns, candidate: Candidate, metrics: Sequence[MetricName], settings: EvaluationSettings
) -> dict[MetricName, Curve]:
    found: dict[MetricName, Curve] = {}
    if "deletion" in metrics or "leakage" in metrics:
        found["deletion"] = deletion_of(runs, candidate.importance, settings.n_steps, settings.spacing)
    if "insertion" in metrics:
        found["insertion"] = insertion_of(runs, candidate.importance, settings.n_steps, settings.spacing)
    if "road" in metrics:
        found["road"] = road(runs, candidate.importance)
    return found


def _areas(curves: Mapping[MetricName, Curve]) -> dict[MetricName, float]:
    areas: dict[MetricName, float] = {metric: curve.auc for metric, curve in curves.items()}
    if "deletion" in curves:
        areas["leakage"] = curves["deletion"].leakage_at_half
    return areas


def _removal_numbers(candidate: Candidate, removals: Removals | None) -> dict[MetricName, float]:
    if removals is None:
        return {}
    drops = candidate.importance if candidate.drops is None else candidate.drops
    return {"infidelity": infidelity(drops, removals, scaled=True), "sensitivity_n": sensitivity_n(drops, removals)}


def _stability(runs: PerturbedRuns, candidate: Candidate, settings: EvaluationSettings) -> float:
    if candidate.again is None:
        runs.advance(settings.n_copies)
        return float("nan")
    image = runs.image.cpu().numpy()
    return max_sensitivity(
        image,
        candidate.importance,
        candidate.again,
        settings.radius,
        settings.n_copies,
        runs.settings.seed,
        lambda _done, _total: runs.advance(1),
    )


def _places(candidate: Candidate, region: np.ndarray | None, known: np.ndarray | None) -> dict[MetricName, float]:
    if region is None:
        return dict.fromkeys(LOCALISATION_METRICS, float("nan"))
    found = localisation(candidate.importance, region, known)
    return {
        "mass_inside": found.mass_inside,
        "top_k": found.top_k,
        "pointing_game": found.pointing_game,
        "localisation_auc": found.auc,
    }
