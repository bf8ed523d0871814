"""What the network says at a pixel, at a glance: label, confidence, right or wrong."""

import numpy as np

from core.data.index_masks import IGNORED
from core.display.colours import class_colour
from core.display.words import confidence
from core.segmenter import Prediction
from widgets.shared.sidebar import Selection
from widgets.viewer.scene import Chip


def verdict_chips(selection: Selection, prediction: Prediction, pixel: tuple[int, int]) -> list[Chip]:
    """The label in its colour, its probability, and whether the ground truth says the same, where there is one."""
    names, label = selection.segmenter.class_names, int(prediction.labels[pixel])
    chips = [
        Chip(names[label], "#" + bytes(class_colour(label)).hex() if label else "plain"),
        Chip(f"{confidence(float(prediction.probabilities[(label, *pixel)]))} sure"),
    ]
    true = _true_class(selection.image.truth, prediction.labels.shape, pixel)
    if true is None or true >= len(names):
        return chips
    return [*chips, Chip("right", "good") if true == label else Chip(f"wrong: the truth says {names[true]}", "bad")]


def _true_class(truth: np.ndarray | None, size: tuple[int, ...], pixel: tuple[int, int]) -> int | None:
    if truth is None or truth.shape != size or truth[pixel] == IGNORED:
        return None
    return int(truth[pixel])
