"""Leading directions: the changes of an image that move the scores of a region most."""

from .result import LeadingDirections
from .search import DEFAULT_COUNT, MOST_DIRECTIONS, labels_along, leading_directions

__all__ = ["DEFAULT_COUNT", "MOST_DIRECTIONS", "LeadingDirections", "labels_along", "leading_directions"]
