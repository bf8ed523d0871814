import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core import Segmenter, Target, UserError
from core.target import SPACES, class_scores
from tests.networks import IMAGE_1_TO_9, TinySeg

LOGITS = torch.tensor([1.0, -2.0, 0.5]).reshape(1, 3, 1, 1)


def test_score_spaces_by_hand():
    exponentials = np.exp([1.0, -2.0, 0.5])
    probability = exponentials[1] / exponentials.sum()
    assert class_scores(LOGITS, 1, "logit").item() == -2.0
    assert class_scores(LOGITS, 1, "probability").item() == pytest.approx(probability, rel=1e-6)
    assert class_scores(LOGITS, 1, "log_odds").item() == pytest.approx(
        np.log(probability / (1 - probability)), rel=1e-6
    )


def test_log_odds_of_two_classes_is_the_difference_of_the_logits():
    logits = torch.randn(2, 2, 4, 5)
    torch.testing.assert_close(class_scores(logits, 1, "log_odds"), logits[:, 1] - logits[:, 0])
    torch.testing.assert_close(class_scores(logits, 0, "log_odds"), logits[:, 0] - logits[:, 1])


def test_tiny_seg_scores():
    logits = Segmenter(TinySeg(), in_channels=1).logits(IMAGE_1_TO_9)
    mask = np.zeros((3, 3), dtype=bool)
    mask[1, 1] = mask[2, 2] = True
    assert Target.pixel(1, 1, 1, "logit")(logits).item() == -27
    assert Target.region(mask, 1)(logits).item() == -21
    assert Target.region(mask, 1, reduction="mean")(logits).item() == -10.5
    assert Target.region(mask * 2.0, 1)(logits).item() == -42


@pytest.mark.parametrize("space", SPACES)
def test_pixel_is_the_region_of_one_pixel(space):
    logits = torch.randn(3, 4, 5, 6)
    mask = np.zeros((5, 6))
    mask[2, 4] = 1
    torch.testing.assert_close(Target.pixel(2, 4, 3, space)(logits), Target.region(mask, 3, space)(logits))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from(SPACES))
def test_sum_is_additive_over_disjoint_regions(seed, space):
    generator = np.random.default_rng(seed)
    logits = torch.tensor(generator.normal(size=(1, 3, 6, 7)))
    part = generator.integers(0, 3, size=(6, 7))
    whole = sum(Target.region(part == index, 1, space)(logits) for index in range(3))
    torch.testing.assert_close(whole, Target.region(np.ones((6, 7)), 1, space)(logits))


def test_empty_region_scores_zero():
    assert Target.region(np.zeros((3, 3)), 1)(torch.randn(1, 2, 3, 3)).item() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target.pixel(-1, 0), "Rows and columns count from 0"),
        (lambda: Target.pixel(0, 0, -1), "Classes count from 0"),
        (lambda: Target.pixel(0, 0, 1, "odds"), 'one of logit, probability, log_odds; "odds" was given'),
        (lambda: Target.region(np.ones(3)), r"finite mask \(height, width\)"),
        (lambda: Target.region(np.full((2, 2), np.nan)), "finite mask"),
        (lambda: Target.region(np.ones((2, 2)), reduction="max"), "one of sum, mean"),
        (lambda: Target.region(np.zeros((2, 2)), reduction="mean"), "mean over an empty region"),
        (lambda: Target.pixel(3, 0)(torch.zeros(1, 2, 3, 3)), r"pixel \(3, 0\) lies outside the image of 3 rows"),
        (lambda: Target.pixel(0, 0, 2)(torch.zeros(1, 2, 3, 3)), "no class 2; the network has 2"),
        (lambda: Target.region(np.ones((2, 3)))(torch.zeros(1, 2, 3, 3)), "region is 2×3 pixels, the image 3×3"),
    ],
)
def test_wrong_targets_get_one_clear_sentence(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_description_names_the_region_by_its_hash():
    first, second = Target.region(np.eye(3)), Target.region(np.eye(3)[::-1])
    assert first.describe()["pixels"] == 3
    assert first.describe()["mask_sha256"] != second.describe()["mask_sha256"]
    assert Target.pixel(1, 2, 0, "logit").describe() == {"class_index": 0, "space": "logit", "row": 1, "column": 2}


def test_the_whole_prediction_of_tiny_seg():
    """Logits of class 0 [[2,11,6],[15,31,17],[6,19,6]] and 1 [[-2,-11,-6],[-13,-27,-11],[2,-9,6]]."""
    logits = Segmenter(TinySeg(), in_channels=1).logits(IMAGE_1_TO_9)
    labels = np.zeros((3, 3), int)
    labels[0, 1] = 1
    assert Target.prediction(labels, "logit")(logits).item() == 2 - 11 + 6 + 15 + 31 + 17 + 6 + 19 + 6
    mask = np.zeros((3, 3), bool)
    mask[0, :2] = True
    assert Target.prediction(labels, "logit", "mean", mask)(logits).item() == (2 - 11) / 2
    for space in SPACES:
        apart = sum(Target.region(labels == k, k, space)(logits).item() for k in (0, 1))
        assert Target.prediction(labels, space)(logits).item() == pytest.approx(apart, rel=1e-6)


def test_what_is_no_prediction():
    with pytest.raises(UserError, match="whole numbers"):
        Target.prediction(np.zeros((3, 3)))
    with pytest.raises(UserError, match="whole numbers"):
        Target.prediction(np.full((3, 3), -1))
    with pytest.raises(UserError, match="of one size"):
        Target.prediction(np.zeros((3, 3), int), mask=np.ones((2, 2)))
    with pytest.raises(UserError, match="no class 7"):
        Target.prediction(np.full((3, 3), 7))(torch.zeros(1, 2, 3, 3))
    described = Target.prediction(np.zeros((3, 3), int)).describe()
    assert described["class_index"] == "predicted"
    assert described["pixels"] == 9
