"""Top-k: how many of the most important pixels, as many as the object has, lie on it?"""

from .evidence import LocalisationMetric
from .registry import register


@register
class TopK(LocalisationMetric):
    name = "top_k"
    title = "Top-k"
    question = "How many of the most important pixels, as many as the object has, lie on it?"
