"""And if these pixels were different: edits, the smallest change that flips a label, the leading directions."""

from .brush import Brush
from .directions import LeadingDirections, labels_along, leading_directions
from .edit import Edit
from .flip import SmallestChange, allowed_outside, smallest_change
from .fragility import FragilityMap, fragility_map
from .kept_prediction import KeptPrediction
from .map_outcome import MapTest
from .map_test import map_test
from .painting import Painting

__all__ = [
    "Brush",
    "Edit",
    "FragilityMap",
    "KeptPrediction",
    "LeadingDirections",
    "MapTest",
    "Painting",
    "SmallestChange",
    "allowed_outside",
    "fragility_map",
    "labels_along",
    "leading_directions",
    "map_test",
    "smallest_change",
]
