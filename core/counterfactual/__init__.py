"""And if these pixels were different: edits, the smallest change that flips a label, the leading directions."""

from .directions import LeadingDirections, labels_along, leading_directions
from .edit import Edit
from .map_outcome import MapTest
from .map_test import map_test

__all__ = ["Edit", "LeadingDirections", "MapTest", "labels_along", "leading_directions", "map_test"]
