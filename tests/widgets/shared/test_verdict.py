"""The verdict at a pixel, on a prediction made by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.data.index_masks import IGNORED
from core.segmenter import Prediction
from widgets.shared.verdict import verdict_chips
from widgets.viewer.scene import Chip

PREDICTION = Prediction(np.array([[[0.7, 0.125]], [[0.3, 0.875]]], np.float32), np.array([[0, 1]]))


@pytest.mark.parametrize(
    ("truth", "pixel", "expected"),
    [
        (None, (0, 0), [Chip("road"), Chip("70.0 % sure")]),
        (np.array([[0, 1]]), (0, 0), [Chip("road"), Chip("70.0 % sure"), Chip("right", "good")]),
        (
            np.array([[1, IGNORED]]),
            (0, 0),
            [Chip("road"), Chip("70.0 % sure"), Chip("wrong: the truth says car", "bad")],
        ),
    ],
)
def test_label_confidence_and_whether_it_is_right(truth, pixel, expected):
    assert verdict_chips(selection_of(truth), PREDICTION, pixel) == expected


def test_a_class_has_its_colour_and_an_unknown_truth_says_nothing():
    label, sure = verdict_chips(selection_of(np.array([[1, IGNORED]])), PREDICTION, (0, 1))
    assert (label.text, sure.text) == ("car", "87.5 % sure")
    assert len(label.tone) == 7
    assert label.tone.startswith("#")


def selection_of(truth: np.ndarray | None) -> Any:
    return SimpleNamespace(segmenter=SimpleNamespace(class_names=("road", "car")), image=SimpleNamespace(truth=truth))
