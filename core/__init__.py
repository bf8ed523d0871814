"""WhyPixel: why did my segmentation network label this pixel this way?"""

from core.attribution.result import Attribution
from core.data.images import read_image
from core.errors import UserError
from core.models.loading import load_segmenter
from core.segmenter import Prediction, Segmenter
from core.target import Target

__all__ = ["Attribution", "Prediction", "Segmenter", "Target", "UserError", "load_segmenter", "read_image"]
