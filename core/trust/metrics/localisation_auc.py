"""Localisation AUC: how well does the map tell pixels of the object from the others?"""

from .evidence import LOCALISATION
from .registry import MapUnderTest, Metric, register


@register
class LocalisationAuc(Metric):
    name = "localisation_auc"
    title = "Localisation AUC"
    category = "localisation"
    direction = "higher"
    question = "How well does the map tell pixels of the object from the others? 0.5 is chance."
    needs = (LOCALISATION,)
    needs_object = True

    def measure(self, tested: MapUnderTest) -> float:
        return tested.read(LOCALISATION).auc
