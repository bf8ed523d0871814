"""Is the explanation true: controls, metrics, sanity checks, localisation, the benchmark."""

from .candidates import Candidate, candidate_of, control_candidates
from .comparison import Comparison, compare, images_needed, remakes_needed
from .curves import Curve, deletion, insertion, removal_curve
from .metrics.infidelity import infidelity
from .metrics.max_sensitivity import max_sensitivity
from .metrics.registry import METRICS, EvaluationSettings, Metric, default_metrics, register
from .metrics.road import road
from .metrics.sensitivity_n import sensitivity_n
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
    "candidate_of",
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
