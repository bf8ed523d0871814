"""What the network predicts for an image: computed once for all pages and sessions."""

import numpy as np

from core.segmenter import Prediction, Segmenter
from widgets.shared.results import results

PredictionKey = tuple[str, str, str]


def prediction_key(segmenter: Segmenter, image_hash: str) -> PredictionKey:
    """The same for the same network, device and image; begins the keys of results."""
    return segmenter.weights_hash, str(segmenter.device), image_hash


def result_key(key: PredictionKey) -> tuple[str, ...]:
    """The key of a prediction among the results."""
    return "prediction", *key


def get_prediction(segmenter: Segmenter, values: np.ndarray, key: PredictionKey) -> Prediction:
    """The prediction for an image (C, H, W), whose `prediction_key` is given, kept for all pages."""
    return results().get_or_compute(result_key(key), lambda: segmenter.predict(values))


def kept_prediction(key: PredictionKey) -> Prediction | None:
    """The prediction of that key, if it is kept."""
    return results().get(result_key(key))


def passing_prediction(segmenter: Segmenter, values: np.ndarray, key: PredictionKey) -> Prediction:
    """The prediction for one of many images: not kept, so that it does not push out what the pages show."""
    return kept_prediction(key) or segmenter.predict(values)
