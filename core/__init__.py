"""WhyPixel: why did my segmentation network label this pixel this way?"""

from .attribution.attribution import Attribution
from .data.images import read_image
from .errors import UserError
from .models.loading import load_segmenter
from .segmenter import Prediction, Segmenter
from .target import Target

__all__ = ["Attribution", "Prediction", "Segmenter", "Target", "UserError", "load_segmenter", "read_image"]
