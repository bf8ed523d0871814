"""The Jacobian of a whole score map: receptive field, colouring, computing, storing, summing up."""

from ..receptive_field import ReceptiveField, receptive_field
from .effective import EffectiveReceptiveField, effective_receptive_field
from .encoding import STORED_TYPES
from .engine import Progress, jacobian
from .estimation import Estimate, estimate
from .probing import estimate_row_summaries
from .request import JacobianRequest
from .row_estimates import SUMMARIES, RowEstimates
from .row_summaries import STATISTICS
from .stored_jacobian import Jacobian
from .threshold import DEFINITIONS, Threshold, normalised, save_map

__all__ = [
    "DEFINITIONS",
    "STATISTICS",
    "STORED_TYPES",
    "SUMMARIES",
    "EffectiveReceptiveField",
    "Estimate",
    "Jacobian",
    "JacobianRequest",
    "Progress",
    "ReceptiveField",
    "RowEstimates",
    "Threshold",
    "effective_receptive_field",
    "estimate",
    "estimate_row_summaries",
    "jacobian",
    "normalised",
    "receptive_field",
    "save_map",
]
