"""Attribution methods, one file a method, and the result they share."""

from core.attribution.gradient import gradient
from core.attribution.influence import influence
from core.attribution.result import Attribution
from core.attribution.smoothgrad import smoothgrad

__all__ = ["Attribution", "gradient", "influence", "smoothgrad"]
