"""And if these pixels were different: edits, the smallest change that flips a label, the leading directions."""

from .brush import Brush
from .edit import Edit
from .kept_prediction import KeptPrediction
from .painting import Painting

__all__ = ["Brush", "Edit", "KeptPrediction", "Painting"]
