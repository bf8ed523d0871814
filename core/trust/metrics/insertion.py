"""Insertion: does the score come back when the most important pixels come first?"""

from ..curves import CurveSettings
from .evidence import INSERTION_CURVE
from .registry import MapUnderTest, Metric, ShownCurve, register


@register
class Insertion(Metric):
    name = "insertion"
    title = "Insertion"
    category = "faithfulness"
    direction = "higher"
    question = "Does the score come back soon when the most important pixels come first? Area under the curve."
    is_default = True
    needs = (INSERTION_CURVE,)
    curve = ShownCurve("insertion", INSERTION_CURVE, "Pixels put back")
    Settings = CurveSettings

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(INSERTION_CURVE).auc
