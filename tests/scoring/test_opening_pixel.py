"""The pixel that a page opens on, on maps drawn by hand."""

import numpy as np

from core.data.index_masks import IGNORED
from core.scoring.opening_pixel import opening_pixel
from core.segmenter import Prediction

NAMES = ("background", "vessel", "lesion")


def prediction_of(labels: np.ndarray, confidence: float | np.ndarray = 0.95) -> Prediction:
    """What predicts these labels with this probability, and the other classes alike."""
    rest = (1 - np.broadcast_to(confidence, labels.shape)) / (len(NAMES) - 1)
    probabilities = np.stack([np.where(labels == index, 1 - 2 * rest, rest) for index in range(len(NAMES))])
    return Prediction(probabilities.astype(np.float32), labels)


def drawn(size: tuple[int, int] = (40, 60), **boxes: tuple[slice, slice]) -> np.ndarray:
    labels = np.zeros(size, np.int64)
    for name, box in boxes.items():
        labels[box] = NAMES.index(name)
    return labels


def chosen(*given) -> tuple[int, int]:
    found = opening_pixel(given[0], NAMES, *given[1:])
    return found.row, found.column


def test_without_a_truth_the_middle_of_the_widest_object():
    labels = drawn(vessel=np.s_[5:8, 2:58], lesion=np.s_[20:31, 30:41])
    found = opening_pixel(prediction_of(labels), NAMES)
    assert abs(found.row - 25) <= 1
    assert abs(found.column - 35) <= 1
    assert found.reason == "a confident lesion pixel in the middle of the widest lesion"


def test_an_unsure_object_gives_way_to_a_sure_one():
    labels = drawn(vessel=np.s_[2:13, 2:13], lesion=np.s_[20:33, 30:43])
    confidence = np.where(labels == 2, 0.5, 0.98)
    assert labels[chosen(prediction_of(labels, confidence))] == 1


def test_an_object_of_one_pixel_is_found():
    assert chosen(prediction_of(drawn(vessel=np.s_[7:8, 9:10]))) == (7, 9)


def test_the_largest_plain_error_comes_first():
    labels = drawn(vessel=np.s_[2:13, 2:13], lesion=np.s_[20:33, 30:43])
    truth = labels.copy()
    truth[14, :] = 1  # 60 px of error, but an outline only
    truth[34:37, 2:5] = 1  # 9 px
    truth[22:27, 48:53] = 1  # 25 px
    found = opening_pixel(prediction_of(labels), NAMES, truth)
    assert (found.row, found.column) == (24, 50)
    assert found.reason == "wrong label, 25 px of vessel labelled background"


def test_what_the_truth_does_not_know_is_no_error():
    labels = drawn(vessel=np.s_[10:21, 10:21])
    truth = labels.copy()
    truth[30:38, 30:38] = IGNORED
    assert labels[chosen(prediction_of(labels), truth)] == 1
    assert chosen(prediction_of(labels), truth[:20]) == chosen(prediction_of(labels))


def test_an_image_of_background_only_opens_in_its_middle():
    found = opening_pixel(prediction_of(drawn()), NAMES)
    assert (found.row, found.column) == (20, 30)
    assert found.reason == "the middle of the image, all of which is labelled background"
