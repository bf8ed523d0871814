"""Is a map true? Pixels are taken away, and what the map says is held against what happens."""

from .comparison import (
    Candidate,
    Comparison,
    EvaluationSettings,
    candidate_of,
    compare,
    control_candidates,
    images_needed,
)
from .curves import Curve, deletion, insertion
from .followed_scores import SCORE_KINDS, DiceScore, LeakageScore, ScoreKind, score_at, scorer_of
from .imputation import imputed, road
from .metrics import (
    CURVES,
    DEFAULT_METRICS,
    LOCALISATION_METRICS,
    METRIC_NAMES,
    METRICS,
    Metric,
    MetricName,
)
from .perturbed import PerturbedRuns, RemovalSettings
from .removal import Removals, infidelity, sample_removals, sensitivity_n
from .stability import max_sensitivity

__all__ = [
    "CURVES",
    "DEFAULT_METRICS",
    "LOCALISATION_METRICS",
    "METRICS",
    "METRIC_NAMES",
    "SCORE_KINDS",
    "Candidate",
    "Comparison",
    "Curve",
    "DiceScore",
    "EvaluationSettings",
    "LeakageScore",
    "Metric",
    "MetricName",
    "PerturbedRuns",
    "RemovalSettings",
    "Removals",
    "ScoreKind",
    "candidate_of",
    "compare",
    "control_candidates",
    "deletion",
    "images_needed",
    "imputed",
    "infidelity",
    "insertion",
    "max_sensitivity",
    "road",
    "sample_removals",
    "score_at",
    "scorer_of",
    "sensitivity_n",
]
