"""`Segmenter`: any torch segmentation network behind one interface."""

from .canvas import Canvas
from .device import choose_device
from .image_batch import Image, image_tensor
from .prompts import PromptedMask
from .segmenter import Prediction, Segmenter, prediction_of

__all__ = [
    "Canvas",
    "Image",
    "Prediction",
    "PromptedMask",
    "Segmenter",
    "choose_device",
    "image_tensor",
    "prediction_of",
]
