"""What a benchmark says of every candidate and metric: a mean, how sure it is, and whether a control does as well."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..metrics.registry import METRICS
from .interval import NO_INTERVAL, Interval, t_interval
from .measurement import Measurement

Verdict = Literal["better", "worse", "not told apart", "control", "not defined", "no verdict"]

ENOUGH_IMAGES = 6
"""For a verdict. With fewer it would rest on the t interval's assumption of normal differences alone: by their signs
only, five images all point one way by mere chance in 2 · 2⁻⁵ = 6.25 % of the cases, six in 3.125 %."""

_ROUNDING = 1e-12
_PREDICATES: dict[Verdict, str] = {
    "better": "beats its controls in",
    "not told apart": "cannot be told from the best of them in",
    "worse": "is worse than one in",
    "not defined": "has no value in",
}


@dataclass(frozen=True)
class SummaryRow:
    """One candidate in one metric.

    Attributes:
        candidate: Its name.
        title: Name on screen.
        is_control: Whether it knows nothing of the network.
        metric: Its name.
        rank: 1 for the best mean of this metric, controls among them; equal means share the best of their ranks; 0
            where it is not defined.
        mean: Mean over the targets at which the metric is defined.
        low: Lower end of the mean's 95 % interval; see `t_interval`.
        high: Upper end.
        targets: Number of targets at which the metric is defined.
        images: Number of images that these are in.
        seconds: Time that a map takes on average; NaN for a control.
        best_control: Name of the control whose mean is best; empty where no control has a value.
        difference: Mean over the targets of this candidate's value less that control's; NaN for controls.
        difference_low: Lower end of its 95 % interval; see `t_interval`.
        difference_high: Upper end.
        verdict: See `verdict_of`.
    """

    candidate: str
    title: str
    is_control: bool
    metric: str
    rank: int
    mean: float
    low: float
    high: float
    targets: int
    images: int
    seconds: float
    best_control: str
    difference: float
    difference_low: float
    difference_high: float
    verdict: Verdict


def summarise(measurements: Sequence[Measurement], metrics: Sequence[str]) -> list[SummaryRow]:
    """Every candidate in every metric, metric by metric, the best first and those without a value last.

    A candidate is held against the control that is best on average, target by target. As that control is chosen by the
    same numbers, it looks a little better than it is: the comparison errs on the side of the controls. For a candidate
    that is no different from its control, about 5 % of the verdicts are false, and more where differences are skewed;
    nothing is corrected for how many candidates and metrics there are.

    Args:
        measurements: What `evaluate_image` gives, for all images. A metric that was not measured is not defined.
        metrics: In the order of the table.
    """
    of_candidate: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        of_candidate.setdefault(measurement.candidate, []).append(measurement)
    rows: list[SummaryRow] = []
    for metric in metrics:
        intervals = {
            name: t_interval(_values(found, metric), [each.image for each in found])
            for name, found in of_candidate.items()
        }
        ranked = METRICS[metric].ranked({name: interval.mean for name, interval in intervals.items()})
        control = next((name for name in ranked if of_candidate[name][0].is_control and intervals[name].values), "")
        places = _places(ranked, intervals)
        for name in ranked:
            found, difference = of_candidate[name], NO_INTERVAL
            if control and not found[0].is_control:
                difference = _paired(found, of_candidate[control], metric)
            times = [each.seconds for each in found if math.isfinite(each.seconds)]
            rows.append(
                SummaryRow(
                    name,
                    found[0].title,
                    found[0].is_control,
                    metric,
                    places[name],
                    *intervals[name],
                    math.fsum(times) / len(times) if times else float("nan"),
                    control,
                    *difference[:3],
                    "control" if found[0].is_control else verdict_of(difference, metric),
                )
            )
    return rows


def verdict_of(difference: Interval, metric: str) -> Verdict:
    """What the interval of a candidate's difference to its best control says.

    "better" where all of it lies on the good side of 0, "worse" where all of it lies on the other, "not told apart"
    where it holds 0 or comes from fewer than `ENOUGH_IMAGES`, "not defined" where there is no difference at all.
    """
    if not difference.values:
        return "not defined"
    if not METRICS[metric].against_controls:
        return "no verdict"
    if difference.groups < ENOUGH_IMAGES:
        return "not told apart"
    if difference.low <= 0 <= difference.high or math.isnan(difference.low):
        return "not told apart"
    return "better" if METRICS[metric].better(difference.low, 0) else "worse"


def in_words(rows: Sequence[SummaryRow]) -> list[str]:
    """A sentence per method: in which metrics it beats its controls, and in which it does not."""
    by_verdict: dict[str, dict[Verdict, list[str]]] = {}
    for row in rows:
        if not row.is_control:
            metrics = by_verdict.setdefault(row.title, {}).setdefault(row.verdict, [])
            metrics.append(METRICS[row.metric].title)
    return [_sentence(title, found) for title, found in by_verdict.items()]


def caution(rows: Sequence[SummaryRow]) -> str:
    """What to keep in mind where there are too few images for any verdict; empty where there are `ENOUGH_IMAGES`.

    Enough for a verdict is not enough for everything: a small difference needs more images to be seen.
    """
    images = max((row.images for row in rows), default=0)
    if images >= ENOUGH_IMAGES:
        return ""
    few = (
        "A single image cannot tell a method from a control, and gives no"
        if images < 2
        else (f"{images} images cannot tell a method from a control, and give only a wide")
    )
    return f"{few} interval for a mean; take at least {ENOUGH_IMAGES} images."


def _sentence(title: str, metrics: Mapping[Verdict, Sequence[str]]) -> str:
    named = {verdict: ", ".join(found) for verdict, found in metrics.items()}
    if set(named) != {"not defined"}:
        named.setdefault("better", "nothing")
    parts = [f"{words} {named[verdict]}" for verdict, words in _PREDICATES.items() if verdict in named]
    return f"{title} {'; '.join(parts)}."


def _paired(found: Sequence[Measurement], controls: Sequence[Measurement], metric: str) -> Interval:
    held_against = dict(zip(map(_target, controls), _values(controls, metric), strict=True))
    others = [held_against.get(_target(each), float("nan")) for each in found]
    differences = [value - other for value, other in zip(_values(found, metric), others, strict=True)]
    return t_interval(differences, [each.image for each in found])


def _values(found: Sequence[Measurement], metric: str) -> list[float]:
    return [each.values.get(metric, float("nan")) for each in found]


def _target(measurement: Measurement) -> tuple[str, int, int]:
    return measurement.image, measurement.target, measurement.seed


def _places(ranked: Sequence[str], intervals: Mapping[str, Interval]) -> dict[str, int]:
    places: dict[str, int] = {}
    before, shared = float("nan"), 0
    for place, name in enumerate(ranked, start=1):
        mean = intervals[name].mean
        # The same values in another order add up to means that differ by rounding.
        shared = shared if math.isclose(mean, before, rel_tol=_ROUNDING, abs_tol=_ROUNDING) else place
        places[name] = shared if intervals[name].values else 0
        before = mean
    return places
