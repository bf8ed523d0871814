"""The smallest change of an image that flips a label."""

from .question import Question, allowed_outside
from .result import MEASURES, TITLES, Measure, SmallestChange
from .smallest import distances, smallest_change

__all__ = [
    "MEASURES",
    "TITLES",
    "Measure",
    "Question",
    "SmallestChange",
    "allowed_outside",
    "distances",
    "smallest_change",
]
