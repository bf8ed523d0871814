"""Localisation AUC: how well does the map tell pixels of the object from the others?"""

from .evidence import LocalisationMetric
from .registry import register


@register
class LocalisationAuc(LocalisationMetric):
    name = "localisation_auc"
    title = "Localisation AUC"
    question = "How well does the map tell pixels of the object from the others? 0.5 is chance."
