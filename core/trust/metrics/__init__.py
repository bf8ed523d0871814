"""The metrics, one file per metric.

Every file of this folder is imported, so that a metric registers itself; those named here come first in their category.
"""

from importlib import import_module
from pkgutil import iter_modules

# isort: off
from .deletion import deletion
from .insertion import insertion
from .road import road
from .infidelity import infidelity
from .sensitivity_n import sensitivity_n
from .max_sensitivity import max_sensitivity
from . import mass_inside, top_k, pointing_game  # noqa: F401 - for their places

# isort: on
from .registry import (
    METRICS,
    EvaluationSettings,
    Evidence,
    MapUnderTest,
    Metric,
    ShownCurve,
    all_settings,
    default_metrics,
    metrics_named,
    register,
)

__all__ = [
    "METRICS",
    "EvaluationSettings",
    "Evidence",
    "MapUnderTest",
    "Metric",
    "ShownCurve",
    "all_settings",
    "default_metrics",
    "deletion",
    "infidelity",
    "insertion",
    "max_sensitivity",
    "metrics_named",
    "register",
    "road",
    "sensitivity_n",
]

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
