"""Pointing game: does the largest value lie on the object?"""

from .evidence import LOCALISATION
from .registry import MapUnderTest, Metric, register


@register
class PointingGame(Metric):
    name = "pointing_game"
    title = "Pointing game"
    category = "localisation"
    direction = "higher"
    question = "Does the largest value lie on the object?"
    needs = (LOCALISATION,)
    needs_object = True

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(LOCALISATION).pointing_game
