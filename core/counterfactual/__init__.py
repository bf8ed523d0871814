"""And if these pixels were different: edits, the smallest change that flips a label, the leading directions."""

from .brush import Brush
from .edit import Edit
from .flip import SmallestChange, allowed_outside, smallest_change
from .kept_prediction import KeptPrediction
from .painting import Painting

__all__ = ["Brush", "Edit", "KeptPrediction", "Painting", "SmallestChange", "allowed_outside", "smallest_change"]
