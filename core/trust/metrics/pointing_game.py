"""Pointing game: does the largest value lie on the object?"""

from .evidence import LocalisationMetric
from .registry import register


@register
class PointingGame(LocalisationMetric):
    name = "pointing_game"
    title = "Pointing game"
    question = "Does the largest value lie on the object?"
