"""The metrics by name, with what an interface has to know of each: which way is better, and what it asks."""

from dataclasses import dataclass
from typing import Literal, get_args

MetricName = Literal[
    "deletion",
    "insertion",
    "road",
    "infidelity",
    "sensitivity_n",
    "leakage",
    "max_sensitivity",
    "mass_inside",
    "top_k",
    "pointing_game",
    "localisation_auc",
]
Category = Literal["faithfulness", "specificity", "robustness", "localisation"]
Direction = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """What a metric is.

    Attributes:
        name: Its key in `METRICS`.
        title: On screen.
        category: What kind of question it asks.
        direction: Which way is better.
        question: What it asks, in one sentence.
        against_controls: Whether doing better than a control means anything.
    """

    name: MetricName
    title: str
    category: Category
    direction: Direction
    question: str
    against_controls: bool = True

    def better(self, first: float, second: float) -> bool:
        """Whether the first value is strictly better; never where one of them is NaN."""
        return first < second if self.direction == "lower" else first > second


METRICS: dict[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "deletion", "Deletion", "faithfulness", "lower",
            "Does the score fall soon when the most important pixels go first? Area under the curve.",
        ),
        Metric(
            "insertion", "Insertion", "faithfulness", "higher",
            "Does the score come back soon when the most important pixels come first? Area under the curve.",
        ),
        Metric(
            "road", "ROAD", "faithfulness", "lower",
            "Deletion with pixels imputed from their neighbours, so that the holes themselves say little.",
        ),
        Metric(
            "infidelity", "Infidelity", "faithfulness", "lower",
            "How far is what the map says of random patches from what happens without them? Scaled as suits the map "
            "best (a gradient is first multiplied by what is taken away): 0 is perfect, 1 says no more than a map that "
            "is the same everywhere.",
        ),
        Metric(
            "sensitivity_n", "Sensitivity-n", "faithfulness", "higher",
            "Does the map's sum over random patches go with the drop of the score without them? Correlation; a "
            "gradient is first multiplied by what is taken away.",
        ),
        Metric(
            "leakage", "Leakage", "specificity", "lower",
            "How far has the prediction moved elsewhere when the target's score has gone half of its way under "
            "deletion? It needs pixels outside the target.",
        ),
        Metric(
            "max_sensitivity", "Max-sensitivity", "robustness", "lower",
            "How far does the map move under a little noise on the image? A map that ignores the network does not move "
            "at all, so this alone proves nothing.",
            against_controls=False,
        ),
        Metric(
            "mass_inside", "Mass inside", "localisation", "higher",
            "How much of the map lies on the object? A right network may look elsewhere.",
        ),
        Metric(
            "top_k", "Top-k", "localisation", "higher",
            "How many of the most important pixels, as many as the object has, lie on it?",
        ),
        Metric("pointing_game", "Pointing game", "localisation", "higher", "Does the largest value lie on the object?"),
        Metric(
            "localisation_auc", "Localisation AUC", "localisation", "higher",
            "How well does the map tell pixels of the object from the others? 0.5 is chance.",
        ),
    )
}  # fmt: skip
METRIC_NAMES: tuple[MetricName, ...] = get_args(MetricName)
LOCALISATION_METRICS: tuple[MetricName, ...] = ("mass_inside", "top_k", "pointing_game", "localisation_auc")
DEFAULT_METRICS: tuple[MetricName, ...] = ("deletion", "insertion", "infidelity", "sensitivity_n", "leakage")
CURVES: tuple[MetricName, ...] = ("deletion", "insertion", "road", "leakage")
"""Metrics that are read off a curve."""
