"""Mass inside: how much of the map lies on the object?"""

from .evidence import LocalisationMetric
from .registry import register


@register
class MassInside(LocalisationMetric):
    name = "mass_inside"
    title = "Mass inside"
    question = "How much of the map lies on the object? A right network may look elsewhere."
