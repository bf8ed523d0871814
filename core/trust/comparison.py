"""The same metrics of several maps of one target, beside controls that know nothing of the network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..compute.progress import Progress
from ..segmenter import Image, Segmenter
from ..target import Target
from .candidates import Candidate
from .curves import Curve
from .metrics.registry import METRICS, EvaluationSettings, Evidence, MapUnderTest, default_metrics, metrics_named
from .perturbed_runs import PerturbedRuns

Standing = Literal["beats", "like", "fails"]
"""Whether a map beats every control, agrees with one, or does no better than one."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The values and curves of every candidate, by its name.

    Attributes:
        candidates: As they were given, the controls among them.
        values: By candidate and metric; NaN where a metric is not defined.
        curves: By candidate and name of the curve; that of deletion also holds the leakage.
    """

    candidates: Mapping[str, Candidate]
    values: Mapping[str, Mapping[str, float]]
    curves: Mapping[str, Mapping[str, Curve]]

    def ranked(self, metric: str) -> list[str]:
        """Names of the candidates, the best first; those without a value last."""
        return METRICS[metric].ranked({name: numbers[metric] for name, numbers in self.values.items()})

    def rank(self, name: str, metric: str) -> int:
        """1 for the best, the same for equal values."""
        value, better = self.values[name][metric], METRICS[metric].better
        others = [numbers[metric] for numbers in self.values.values() if not math.isnan(numbers[metric])]
        return 1 + sum(math.isnan(value) or better(other, value) for other in others)

    def best_control(self, metric: str) -> str | None:
        """Name of the control that does best; None where none has a value."""
        names = [name for name in self.ranked(metric) if self.candidates[name].is_control]
        return names[0] if names and not math.isnan(self.values[names[0]][metric]) else None

    def beats_controls(self, name: str, metric: str) -> bool | None:
        """Whether a candidate is strictly better than every control; None where there is no verdict."""
        best, value = self.best_control(metric), self.values[name][metric]
        is_judged = METRICS[metric].against_controls and not self.candidates[name].is_control
        if best is None or math.isnan(value) or not is_judged:
            return None
        return METRICS[metric].better(value, self.values[best][metric])

    def standing(self, name: str, metric: str) -> Standing | None:
        """How a candidate does against the controls; None where there is no verdict.

        One that agrees with a control is "like" it whatever its value: it could have been made without the network.
        """
        beats = self.beats_controls(name, metric)
        if beats is None:
            return None
        return "like" if self.candidates[name].agreeing else "beats" if beats else "fails"

    def in_words(self, name: str, metric: str) -> str:
        """Whether a candidate beats its controls, in a sentence."""
        value, best = self.values[name][metric], self.best_control(metric)
        if self.candidates[name].is_control:
            return "A control: it knows nothing of the network."
        if math.isnan(value) or best is None:
            return "Not defined here."
        if not METRICS[metric].against_controls:
            return "No verdict: a control that ignores the network does well here by nature."
        if agreeing := self.candidates[name].agreeing:
            control = max(agreeing, key=agreeing.__getitem__)
            return f"Ranks the pixels as a control does: {self.candidates[control].title} ({agreeing[control]:.2f})."
        numbers = f"{self.candidates[best].title} ({value:.3g} against {self.values[best][metric]:.3g})."
        if self.beats_controls(name, metric):
            return f"Better than every control; the best of them is {numbers}"
        return f"No better than a control that knows nothing of the network: {numbers}"


def compare(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    candidates: Mapping[str, Candidate],
    metrics: Sequence[str] | None = None,
    settings: EvaluationSettings | None = None,
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
        metrics: Names in `METRICS`; None takes `default_metrics`.
        settings: How thoroughly. A map with values that are not finite has no value in any metric.
        region: Bool (H, W), the object that localisation looks for; without it, its metrics are NaN.
        known: Bool (H, W), the pixels at which the region is known; None knows all.
        progress: See `Progress`; counts images that ran through the network.

    Raises:
        UserError: An unknown metric, or what does not fit; see `PerturbedRuns`.
    """
    settings = settings or EvaluationSettings()
    chosen = metrics_named(default_metrics() if metrics is None else metrics)
    names = [metric.name for metric in chosen]
    runs = PerturbedRuns(
        segmenter, image, target, settings.removal, progress, images_needed(names, settings, len(candidates))
    )
    shared: dict[Evidence[Any], Any] = {}
    values: dict[str, dict[str, float]] = {}
    curves: dict[str, dict[str, Curve]] = {}
    for name, candidate in candidates.items():
        values[name], curves[name] = dict.fromkeys(names, float("nan")), {}
        if not np.isfinite(candidate.importance).all():
            runs.advance(images_needed(names, settings, 1) - images_needed(names, settings, 0))
            continue
        tested = MapUnderTest(candidate, runs, settings, region, known, shared)
        for metric in chosen:
            if not metric.needs_object or region is not None:
                values[name][metric.name] = metric.measure(tested)
            if metric.curve is not None:
                curves[name][metric.curve.name] = tested.read(metric.curve.evidence)
    return Comparison(dict(candidates), values, curves)


def images_needed(metrics: Sequence[str], settings: EvaluationSettings, n_candidates: int) -> int:
    """How many images run through the network, for an estimate; a map computed again counts as one."""
    return sum(
        (evidence.images(settings) + evidence.remakes(settings)) * (1 if evidence.is_shared else n_candidates)
        for evidence in _evidence_of(metrics)
    )


def remakes_needed(metrics: Sequence[str], settings: EvaluationSettings) -> int:
    """How many times each map is computed again."""
    return sum(evidence.remakes(settings) for evidence in _evidence_of(metrics))


def _evidence_of(metrics: Sequence[str]) -> set[Evidence[Any]]:
    gathered: set[Evidence[Any]] = set()
    return gathered.union(*(need.with_needs() for metric in metrics_named(metrics) for need in metric.needs))
