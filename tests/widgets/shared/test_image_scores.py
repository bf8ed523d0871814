"""The scores of the gallery, against torchmetrics."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.classification import BinaryF1Score, MulticlassJaccardIndex

from core import Segmenter, UserError
from core.data.index_masks import IGNORED
from widgets.shared.image_scores import ImageScores, score_of
from widgets.shared.offered_images import images_in


def labels_and_truth(num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(seed)
    labels, truth = drawn.integers(0, num_classes, (2, 20, 30))
    truth[drawn.random(truth.shape) < 0.2] = IGNORED
    return labels, truth


def test_two_classes_get_dice():
    labels, truth = labels_and_truth(2, 0)
    metric = BinaryF1Score(ignore_index=IGNORED)
    assert score_of(labels, truth, 2) == pytest.approx(float(metric(torch.tensor(labels), torch.tensor(truth))))


def test_several_classes_get_the_mean_iou_of_those_that_occur():
    labels, truth = labels_and_truth(4, 1)
    metric = MulticlassJaccardIndex(6, average="none", ignore_index=IGNORED)
    expected = metric(torch.tensor(labels), torch.tensor(truth))[:4].mean()
    assert score_of(labels, truth, 6) == pytest.approx(float(expected))


def test_without_any_foreground_there_is_no_score():
    assert score_of(np.zeros((9, 8), int), np.zeros((9, 8), int), 2) is None


def test_other_classes_or_another_size_are_refused():
    with pytest.raises(UserError, match="label 3"):
        score_of(np.zeros((9, 8), int), np.full((9, 8), 3), 2)
    with pytest.raises(UserError, match="one size"):
        score_of(np.zeros((9, 8), int), np.zeros((8, 8), int), 2)


def test_images_are_scored_once_and_one_that_cannot_be_ends_nothing(tmp_path):
    """The network says 1 where the image is brighter than a half."""
    convolution = torch.nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        convolution.weight[:], convolution.bias[:] = (
            torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1),
            torch.tensor([1.0, 0]),
        )
    segmenter = Segmenter(convolution, in_channels=1)
    bright = np.zeros((16, 16), np.uint8)
    bright[:8] = 255
    truth = np.zeros((16, 16), np.uint8)
    truth[:4] = 255
    for folder, values in (("images", bright), ("labels", truth)):
        (tmp_path / folder).mkdir()
        for name in ("a", "cut", "many classes"):
            Image.fromarray(values).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "images/cut.png").write_bytes((tmp_path / "images/a.png").read_bytes()[:60])
    Image.fromarray(truth // 51).save(tmp_path / "labels/many classes.png")
    Image.fromarray(bright).save(tmp_path / "images/no truth.png")
    images = {image.path.stem: image for image in images_in(tmp_path)}
    scores, reports = ImageScores(segmenter), []
    missing = scores.missing(images.values())
    assert {image.path.stem for image in missing} == {"a", "cut", "many classes"}
    scores.compute(missing, lambda done, total: reports.append((done, total)))
    assert reports == [(0, 3), (1, 3), (2, 3)]
    assert scores.missing(images.values()) == []
    assert scores.get(images["a"]) == pytest.approx(2 * 64 / (128 + 64))
    assert scores.get(images["cut"]) is None
    assert scores.get(images["many classes"]) is None
    assert ImageScores(segmenter, "percentile").get(images["a"]) is None
