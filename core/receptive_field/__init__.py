"""Which input pixels reach which output pixels, and the windows of an image that a pixel's gradient needs."""

from .known import known_field, learn_field
from .support import AxisSupport, ReceptiveField, receptive_field, structural_support

__all__ = ["AxisSupport", "ReceptiveField", "known_field", "learn_field", "receptive_field", "structural_support"]
