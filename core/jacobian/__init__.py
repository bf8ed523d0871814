"""The Jacobian of a whole score map: receptive field, colouring, computing, storing, summing up."""

from core.jacobian.effective import EffectiveReceptiveField, effective_receptive_field
from core.jacobian.encoding import STORED_TYPES
from core.jacobian.engine import Progress, jacobian
from core.jacobian.preparation import Estimate, estimate
from core.jacobian.result import Jacobian
from core.jacobian.summaries import STATISTICS
from core.jacobian.support import ReceptiveField, receptive_field
from core.jacobian.threshold import DEFINITIONS, normalised, save_map

__all__ = [
    "DEFINITIONS",
    "STATISTICS",
    "STORED_TYPES",
    "EffectiveReceptiveField",
    "Estimate",
    "Jacobian",
    "Progress",
    "ReceptiveField",
    "effective_receptive_field",
    "estimate",
    "jacobian",
    "normalised",
    "receptive_field",
    "save_map",
]
