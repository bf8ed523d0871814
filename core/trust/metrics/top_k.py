"""Top-k: how many of the k most important pixels lie on the object, with k its size?"""

from .evidence import LocalisationMetric
from .registry import register


@register
class TopK(LocalisationMetric):
    name = "top_k"
    title = "Top-k"
    question = "How many of the k most important pixels lie on the object, with k its size?"
