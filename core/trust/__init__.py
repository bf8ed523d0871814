"""Is the explanation true: controls, metrics, sanity checks, localisation, the benchmark."""

from .candidates import Candidate, candidates_of, control_candidates
from .comparison import Comparison, compare, images_needed, remakes_needed
from .curves import Curve, deletion, insertion, removal_curve
from .metrics.max_sensitivity import max_sensitivity
from .metrics.random_removals import infidelity, sensitivity_n
from .metrics.registry import METRICS, EvaluationSettings, Metric, default_metrics, register
from .metrics.road import road
from .perturbed_runs import PerturbedRuns, RemovalSettings
from .removals import sample_removals

__all__ = [
    "METRICS",
    "Candidate",
    "Comparison",
    "Curve",
    "EvaluationSettings",
    "Metric",
    "PerturbedRuns",
    "RemovalSettings",
    "candidates_of",
    "compare",
    "control_candidates",
    "default_metrics",
    "deletion",
    "images_needed",
    "infidelity",
    "insertion",
    "max_sensitivity",
    "register",
    "remakes_needed",
    "removal_curve",
    "road",
    "sample_removals",
    "sensitivity_n",
]
