import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchmetrics.functional.segmentation import dice_score

from core.data.data_sets import Sample
from core.errors import UserError
from core.scoring.overlap import Evaluation, Scores, evaluate_segmenter, score_labels
from core.segmenter import Segmenter

LABELS = np.array([[0, 1, 1], [0, 1, 2]])
MASK = np.array([[0, 0, 1], [1, 1, 2]])


def test_iou_and_dice_worked_out_by_hand():
    # class 0: 1 in common, 2 and 2; class 1: 2 in common, 3 and 3; class 2: 1 in common, 1 and 1
    scores = score_labels(LABELS, MASK, 3)
    assert scores.iou == pytest.approx((1 / 3, 2 / 4, 1))
    assert scores.dice == pytest.approx((2 / 4, 4 / 6, 1))
    assert scores.foreground_iou == pytest.approx(0.75)
    assert scores.foreground_dice == pytest.approx(5 / 6)


def test_a_class_that_occurs_nowhere_is_nan_and_does_not_count():
    scores = score_labels(LABELS, MASK, 4)
    assert math.isnan(scores.iou[3])
    assert math.isnan(scores.dice[3])
    assert scores.foreground_iou == pytest.approx(0.75)
    nothing = score_labels(np.zeros((2, 2), int), np.zeros((2, 2), int), 2)
    assert nothing.iou[0] == 1
    assert math.isnan(nothing.foreground_iou)


def test_a_class_that_is_only_predicted_scores_zero():
    scores = score_labels(np.ones((2, 2), int), np.zeros((2, 2), int), 2)
    assert scores.iou == (0, 0)
    assert scores.dice == (0, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_agrees_with_torchmetrics_and_dice_follows_from_iou(seed, classes):
    rng = np.random.default_rng(seed)
    labels, mask = rng.integers(classes, size=(2, 7, 9))
    scores = score_labels(labels, mask, classes)
    iou = torch.tensor(scores.iou)
    torch.testing.assert_close(2 * iou / (1 + iou), torch.tensor(scores.dice))
    expected = dice_score(
        torch.tensor(labels)[None],
        torch.tensor(mask)[None],
        num_classes=classes,
        average="none",
        input_format="index",
        include_background=True,
    )
    torch.testing.assert_close(torch.tensor(scores.dice), expected[0].to(torch.float32))


def test_tensors_and_arrays_give_the_same():
    assert score_labels(torch.tensor(LABELS), torch.tensor(MASK), 3) == score_labels(LABELS.astype(np.uint8), MASK, 3)


def test_sizes_and_classes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="both must be of one size"):
        score_labels(LABELS, MASK.T, 3)
    with pytest.raises(UserError, match="The mask holds the class 2, but there are only the classes 0 to 1"):
        score_labels(np.zeros_like(MASK), MASK, 2)
    with pytest.raises(UserError, match="The label map holds the class -1"):
        score_labels(LABELS - 1, MASK, 3)


def test_the_mean_is_over_images_not_over_pixels():
    evaluation = Evaluation(
        ("background", "vessel"),
        (
            Scores((0.9, 0.8), (0.95, 8 / 9), "large"),
            Scores((0.9, 0.4), (0.95, 4 / 7), "small"),
            Scores((1.0, math.nan), (1.0, math.nan), "empty"),
        ),
    )
    assert evaluation.mean_iou == pytest.approx(0.6)
    assert evaluation.mean_dice == pytest.approx((8 / 9 + 4 / 7) / 2)
    assert evaluation.rows()[1] == {
        "image": "small",
        "IoU background": 0.9,
        "IoU vessel": 0.4,
        "Dice background": 0.95,
        "Dice vessel": 4 / 7,
    }


class Threshold(nn.Module):
    def forward(self, images):
        return 100 * (images - 0.5)


def test_a_segmenter_is_scored_image_by_image():
    segmenter = Segmenter(Threshold(), in_channels=1, class_names=("dark", "bright"))
    image = np.zeros((1, 4, 4), np.float32)
    image[:, :2] = 1
    half, quarter = np.zeros((4, 4), np.int64), np.zeros((4, 4), np.int64)
    half[:2], quarter[:1] = 1, 1
    told = []
    evaluation = evaluate_segmenter(segmenter, [Sample("a", image, half), Sample("b", image, quarter)], told.append)
    assert [score.iou[1] for score in evaluation.images] == [1, 0.5]
    assert evaluation.mean_iou == 0.75
    assert evaluation.class_names == ("dark", "bright")
    assert [score.stem for score in told] == ["a", "b"]


def test_nothing_to_evaluate_and_unknown_classes_are_told():
    segmenter = Segmenter(Threshold(), in_channels=1)
    with pytest.raises(UserError, match="no images to evaluate"):
        evaluate_segmenter(segmenter, [])
    with pytest.raises(UserError, match="street: The mask holds the class 7"):
        evaluate_segmenter(segmenter, [Sample("street", np.zeros((1, 4, 4), np.float32), np.full((4, 4), 7))])
