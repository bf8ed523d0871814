"""`Segmenter`: any torch segmentation network behind one interface."""

from .segmenter import Image, Prediction, Segmenter, choose_device, image_tensor, prediction_of

__all__ = ["Image", "Prediction", "Segmenter", "choose_device", "image_tensor", "prediction_of"]
