"""Leakage: how far does the prediction move elsewhere under deletion?"""

from ..curves import CurveSettings
from .evidence import DELETION_CURVE
from .registry import MapUnderTest, Metric, ShownCurve, register


@register
class Leakage(Metric):
    """The leakage half way down deletion's curve, see `Curve.leakage_at_half`."""

    name = "leakage"
    title = "Leakage"
    category = "specificity"
    direction = "lower"
    question = (
        "How far has the prediction moved elsewhere when the target's score has gone half of its way under deletion? "
        "It needs pixels outside the target."
    )
    is_default = True
    needs = (DELETION_CURVE,)
    curve = ShownCurve(
        "deletion", DELETION_CURVE, values="leakage", heading="Change elsewhere", unit="Probability moved"
    )
    Settings = CurveSettings

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(DELETION_CURVE).leakage_at_half
