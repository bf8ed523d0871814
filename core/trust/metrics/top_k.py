"""Top-k: how many of the most important pixels, as many as the object has, lie on it?"""

from .evidence import LOCALISATION
from .registry import MapUnderTest, Metric, register


@register
class TopK(Metric):
    name = "top_k"
    title = "Top-k"
    category = "localisation"
    direction = "higher"
    question = "How many of the most important pixels, as many as the object has, lie on it?"
    needs = (LOCALISATION,)
    needs_object = True

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(LOCALISATION).top_k
