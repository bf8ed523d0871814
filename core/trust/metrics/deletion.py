"""Deletion: does the score fall when the most important pixels go first?"""

from ..curves import CurveSettings
from .evidence import DELETION_CURVE
from .registry import MapUnderTest, Metric, ShownCurve, register


@register
class Deletion(Metric):
    name = "deletion"
    title = "Deletion"
    category = "faithfulness"
    direction = "lower"
    question = "Does the score fall soon when the most important pixels go first? Area under the curve."
    is_default = True
    needs = (DELETION_CURVE,)
    curve = ShownCurve("deletion", DELETION_CURVE)
    Settings = CurveSettings

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(DELETION_CURVE).auc
