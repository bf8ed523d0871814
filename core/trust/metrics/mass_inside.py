"""Mass inside: how much of the map lies on the object?"""

from .evidence import LOCALISATION
from .registry import MapUnderTest, Metric, register


@register
class MassInside(Metric):
    name = "mass_inside"
    title = "Mass inside"
    category = "localisation"
    direction = "higher"
    question = "How much of the map lies on the object? A right network may look elsewhere."
    needs = (LOCALISATION,)
    needs_object = True

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(LOCALISATION).mass_inside
