import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core import Segmenter, Target, UserError
from core.attribution import Attribution, gradient
from core.attribution.statistics import compared_with, region_share, statistics
from core.display.words import percent
from core.segmenter import Prediction
from tests.networks import Wrapped


def _attribution(values: np.ndarray, class_index: int = 1) -> Attribution:
    torch.manual_seed(0)
    result = gradient(Segmenter(Wrapped("tensor")), torch.rand(3, 8, 8), Target.pixel(0, 0, class_index))
    return replace(result, values=values.astype(np.float32), image_size=values.shape[1:])


VALUES = np.array([[[3.0, 0], [0, -1]], [[4, 0], [2, 0]]])
"""Two channels, 2×2: the magnitudes are 5, 0, 2, 1."""
LABELS = np.array([[1, 0], [0, 2]])
PREDICTION = Prediction(np.zeros((3, 2, 2), np.float32), LABELS)


def test_by_hand():
    found = statistics(_attribution(VALUES), PREDICTION, truth=np.array([[1, 1], [0, 0]]))
    assert (found.mean, found.minimum, found.maximum) == (2, 0, 5)
    assert found.std == pytest.approx(math.sqrt((9 + 4 + 0 + 1) / 4))
    assert (found.predicted.area, found.predicted.area_ratio) == (1, 0.25)
    assert (found.predicted.inside, found.predicted.outside, found.predicted.ratio) == (5, 1, 5)
    assert found.predicted.mass == 5 / 8
    assert found.truth is not None
    assert (found.truth.inside, found.truth.outside) == (2.5, 1.5)
    assert found.channel_sums == (2, 6)
    assert found.channel_shares == (0.4, 0.6)
    assert sum(found.channel_sums) == VALUES.sum()
    numbers = found.as_dict()
    assert numbers["predicted_ratio"] == 5
    assert numbers["channel_1_sum"] == 6


def test_the_whole_prediction_is_compared_with_the_foreground():
    result = replace(_attribution(VALUES), target=Target.prediction(LABELS))
    assert statistics(result, PREDICTION).predicted.area == 2


def test_what_is_explained_as_predicted_is_compared_with_itself():
    mask = np.array([[1, 1], [0, 0]])
    region = replace(_attribution(VALUES), target=Target.prediction(LABELS, mask=mask))
    found = statistics(region, PREDICTION, truth=LABELS)
    assert compared_with(region.target) == "explained"
    assert (found.predicted.area, found.truth) == (2, None)
    assert compared_with(Target.prediction(LABELS)) == "foreground"
    assert compared_with(Target.pixel(1, 0, 2)) == "class"


def test_pixels_of_no_known_class_count_nowhere():
    found = statistics(_attribution(VALUES), PREDICTION, truth=np.array([[1, 0], [255, 0]])).truth
    assert found is not None
    assert (found.area, found.area_ratio) == (1, 1 / 3)
    assert (found.inside, found.outside, found.mass) == (5, 0.5, 5 / 6)
    whole = replace(_attribution(VALUES), target=Target.prediction(LABELS))
    found = statistics(whole, PREDICTION, truth=np.array([[1, 0], [255, 0]])).truth
    assert found is not None
    assert found.area == 1
    nothing = statistics(whole, PREDICTION, truth=np.full((2, 2), 255)).truth
    assert nothing is not None
    assert "empty" in nothing.in_words()


def test_empty_and_full_regions_have_no_ratio_and_a_word():
    magnitude = np.array([[5.0, 0], [2, 1]])
    empty = region_share(magnitude, np.zeros((2, 2), bool))
    assert math.isnan(empty.inside)
    assert math.isnan(empty.ratio)
    assert empty.mass == 0
    assert "empty" in empty.in_words()
    full = region_share(magnitude, np.ones((2, 2), bool))
    assert math.isnan(full.outside)
    assert math.isnan(full.ratio)
    assert "whole image" in full.in_words()
    assert math.isnan(region_share(np.zeros((2, 2)), np.eye(2, dtype=bool)).mass)
    nothing_outside = region_share(np.eye(2), np.eye(2, dtype=bool))
    assert math.isnan(nothing_outside.ratio)
    assert "0 there" in nothing_outside.in_words()


@pytest.mark.parametrize(
    ("inside", "word"),
    [
        (5.0, f"weighs 5.0 times one outside; {percent(5 / 6)} of the whole map lies inside"),
        (1.5, "weighs 1.5 times one outside, hardly more; 60"),
        (0.1, "weighs 0.1 of one outside, less; 9.1"),
    ],
)
def test_the_ratio_in_words(inside, word):
    assert word in region_share(np.array([[inside, 1.0]]), np.array([[True, False]])).in_words()


def test_sizes_that_do_not_fit():
    with pytest.raises(UserError, match="of the image's size"):
        statistics(_attribution(VALUES[:, :1]), PREDICTION)
    with pytest.raises(UserError, match="ground truth"):
        statistics(_attribution(VALUES), PREDICTION, truth=np.zeros((3, 3)))
    assert math.isnan(statistics(_attribution(0 * VALUES), PREDICTION).channel_shares[0])
