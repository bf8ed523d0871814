"""The Jacobian of a whole score map: receptive field, colouring, computing, storing, summing up."""

from .effective import EffectiveReceptiveField, effective_receptive_field
from .encoding import STORED_TYPES
from .engine import Progress, jacobian
from .preparation import Estimate, estimate
from .stored_jacobian import Jacobian
from .summaries import STATISTICS
from .support import ReceptiveField, receptive_field
from .threshold import DEFINITIONS, normalised, save_map

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
