import numpy as np
import pytest
import torch

from core.errors import UserError
from core.segmenter import Prediction, prediction_of
from core.target import Target
from core.trust.followed_scores import DiceScore, LeakageScore, scorer_of


def prediction(labels: list[list[int]], num_classes: int = 2) -> Prediction:
    array = np.array(labels)
    probabilities = np.stack([(array == index) * 0.8 + 0.1 for index in range(num_classes)]).astype(np.float32)
    return Prediction(probabilities, array)


def logits_of(labels: list[list[int]], num_classes: int = 2) -> torch.Tensor:
    array = torch.tensor(labels)
    return torch.stack([(array == index).float() for index in range(num_classes)])[None]


def test_dice_on_paper():
    original = prediction([[1, 1, 1, 0]])
    score = DiceScore(Target.region(np.array([[1, 1, 1, 0]]), 1), original)
    # Two of three are kept and one appears: 2·2 / (3 + 3).
    assert score(logits_of([[1, 1, 0, 1]])).tolist() == pytest.approx([2 / 3])
    assert score(logits_of([[1, 1, 1, 0]])).tolist() == [1]
    assert score(logits_of([[0, 0, 0, 0]])).tolist() == [0]


def test_dice_of_some_pixels_looks_at_these_alone():
    original = prediction([[1, 1, 1, 0]])
    score = DiceScore(Target.region(np.array([[1, 1, 0, 0]]), 1), original)
    assert score(logits_of([[1, 1, 0, 1]])).tolist() == [1]
    assert score(logits_of([[1, 0, 1, 1]])).tolist() == pytest.approx([2 / 3])
    pixel = DiceScore(Target.pixel(0, 3), original)
    assert pixel(logits_of([[1, 1, 1, 0]])).tolist() == [1], "empty and still empty"
    assert pixel(logits_of([[1, 1, 1, 1]])).tolist() == [0]


def test_dice_of_the_whole_prediction_is_the_share_of_labels_that_stay():
    original = prediction([[0, 1, 2, 2]], 3)
    score = DiceScore(Target.prediction(original.labels), original)
    assert score(logits_of([[0, 1, 1, 0]], 3)).tolist() == [0.5]


def test_leakage_on_paper():
    original = prediction([[1, 0, 0]])
    score = LeakageScore(Target.pixel(0, 0), original)
    changed = torch.from_numpy(original.probabilities).log()[None].clone()
    assert score(changed).tolist() == pytest.approx([0], abs=1e-6)
    # One of two pixels outside goes from (0.9, 0.1) to (0.1, 0.9): total variation 0.8, halved by the other.
    changed[0, :, 0, 1] = changed[0, [1, 0], 0, 1]
    assert score(changed).tolist() == pytest.approx([0.4], abs=1e-6)
    changed[0, :, 0, 0] = changed[0, [1, 0], 0, 0]
    assert score(changed).tolist() == pytest.approx([0.4], abs=1e-6), "the target's own pixel does not count"


def test_leakage_of_the_whole_image_is_not_defined():
    original = prediction([[1, 0]])
    score = LeakageScore(Target.region(np.ones((1, 2))), original)
    assert torch.isnan(score(logits_of([[1, 1]]))).all()


def test_the_score_may_be_another_than_the_one_explained():
    target = Target.region(np.array([[1, 1]]), 1, "log_odds", "mean")
    logits = torch.tensor([[[[0.0, 0.0]], [[1.0, 3.0]]]])
    original = prediction_of(logits[0])
    assert scorer_of("target", target, original)(logits).tolist() == pytest.approx([2.0])
    assert scorer_of("logit", target, original)(logits).tolist() == pytest.approx([2.0])
    sigmoid = 1 / (1 + np.exp(-np.array([1.0, 3.0])))
    assert scorer_of("probability", target, original)(logits).tolist() == pytest.approx([sigmoid.mean()])
    assert scorer_of("dice", target, original)(logits).tolist() == [1]
    with pytest.raises(UserError, match="score is one of"):
        scorer_of("loss", target, original)  # type: ignore[arg-type]
