"""Metrics of images and data sets against torchmetrics, numbers worked out by hand, and properties."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch import nn
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
)
from torchmetrics.segmentation import DiceScore
from typer.testing import CliRunner

from core.cli import app
from core.data.data_sets import Sample, find_pairs
from core.data.index_masks import IGNORED
from core.errors import UserError
from core.models import CheckpointInfo, save_checkpoint
from core.models.zoo.custom_resnet import CustomResNet
from core.scoring.counts import BINS, count, no_counts, outcomes
from core.scoring.data_set_scores import DataSetScores, ScoredImage, interval_of_mean, score_data_set
from core.scoring.overlap import score_labels
from core.scoring.parts import pairs_of_part
from core.segmenter import Prediction, Segmenter
from phantoms.writing import write_data_set


def prediction_of(logits: np.ndarray) -> Prediction:
    probabilities = torch.from_numpy(logits).softmax(dim=0).numpy().astype(np.float32)
    return Prediction(probabilities, probabilities.argmax(axis=0))


def certain(labels: np.ndarray, num_classes: int = 2) -> Prediction:
    return Prediction(np.moveaxis(np.eye(num_classes, dtype=np.float32)[labels], -1, 0), labels)


@pytest.fixture
def given_maps() -> tuple[Prediction, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (40, 50))
    truth[:5, :7] = IGNORED
    logits = 2 * rng.standard_normal((3, 40, 50)) + np.moveaxis(np.eye(3)[np.where(truth < 3, truth, 0)], -1, 0)
    return prediction_of(logits), truth


def test_metrics_are_those_of_torchmetrics(given_maps):
    prediction, truth = given_maps
    found = count(prediction, truth)
    labels, target = torch.from_numpy(prediction.labels), torch.from_numpy(truth)
    options = {"num_classes": 3, "average": "none", "ignore_index": IGNORED}
    theirs = {"iou": MulticlassJaccardIndex, "precision": MulticlassPrecision, "recall": MulticlassRecall}
    for name, metric in theirs.items():
        np.testing.assert_allclose(found.of_classes()[name], metric(**options)(labels, target), rtol=1e-6)
    accuracy = MulticlassAccuracy(num_classes=3, average="micro", ignore_index=IGNORED)(labels, target)
    assert found.overall()["accuracy"] == pytest.approx(float(accuracy))
    error = MulticlassCalibrationError(num_classes=3, n_bins=BINS, norm="l1", ignore_index=IGNORED)
    expected = error(torch.from_numpy(prediction.probabilities)[None], target[None])
    assert found.overall()["calibration_error"] == pytest.approx(float(expected), abs=1e-5)
    known = truth != IGNORED
    one_hot = [torch.nn.functional.one_hot(torch.from_numpy(x[known]), 3).T[None] for x in (prediction.labels, truth)]
    dice = DiceScore(num_classes=3, average="none", include_background=True)(*one_hot)
    np.testing.assert_allclose(found.of_classes()["dice"], dice.squeeze(), rtol=1e-6)


def test_pooled_metrics_are_those_of_all_pixels_side_by_side(given_maps):
    prediction, truth = given_maps
    halves = [count(Prediction(prediction.probabilities[..., part], prediction.labels[..., part]), truth[..., part])
              for part in (slice(0, 20), slice(20, None))]  # fmt: skip
    whole, pooled = count(prediction, truth), halves[0] + halves[1]
    for name in ("iou", "dice", "precision", "recall"):
        np.testing.assert_allclose(pooled.of_classes()[name], whole.of_classes()[name])
    assert pooled.overall() == pytest.approx(whole.overall())


def test_cldice_by_hand():
    truth = np.zeros((20, 30), dtype=int)
    truth[10, 2:28] = 1  # 26 pixels: a line is its own skeleton
    broken = truth.copy()
    broken[10, 10:16] = 0  # 20 pixels left, all on the line, in two parts
    assert count(certain(broken), truth).of_classes()["cldice"][1] == pytest.approx(2 * 20 / 26 / (1 + 20 / 26))
    wide = np.zeros_like(truth)
    wide[9:12, 2:28] = 1  # three times as many pixels, the same line inside
    scores = count(certain(wide), truth).of_classes()
    assert scores["cldice"][1] == pytest.approx(1, abs=0.03)  # the skeleton may turn into a corner at an end
    assert scores["dice"][1] == pytest.approx(0.5)
    away = np.zeros_like(truth)
    away[2, 2:28] = 1
    assert count(certain(away), truth).of_classes()["cldice"][1] == 0


def test_what_is_not_there_has_no_score():
    nothing, dot = np.zeros((8, 8), dtype=int), np.zeros((8, 8), dtype=int)
    dot[3:6, 3:6] = 1
    empty = count(certain(nothing), nothing).of_classes()
    assert all(math.isnan(empty[name][1]) for name in empty)
    missed, invented = count(certain(nothing), dot).of_classes(), count(certain(dot), nothing).of_classes()
    assert (missed["recall"][1], missed["cldice"][1], missed["iou"][1]) == (0, 0, 0)
    assert math.isnan(missed["precision"][1])
    assert (invented["precision"][1], invented["cldice"][1]) == (0, 0)
    assert math.isnan(invented["recall"][1])
    ignored = count(certain(dot), np.full((8, 8), IGNORED))
    assert ignored.confusion.sum() == ignored.calibration.sum() == ignored.skeletons.sum() == 0
    assert math.isnan(ignored.overall()["accuracy"])


@settings(deadline=None, max_examples=40)
@given(arrays(int, (9, 11), elements=st.integers(0, 2)), arrays(int, (9, 11), elements=st.integers(0, 2)))
def test_metrics_stay_in_range_and_agree_with_the_scores_of_before(labels, truth):
    found = count(certain(labels, 3), truth)
    before = score_labels(labels, truth, 3)
    np.testing.assert_allclose(found.of_classes()["iou"], before.iou)
    np.testing.assert_allclose(found.of_classes()["dice"], before.dice)
    for values in found.of_classes().values():
        assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()
    # A prediction that is sure of everything is off by the share of what is wrong.
    assert found.overall()["calibration_error"] == pytest.approx(1 - found.overall()["accuracy"])
    kinds = outcomes(labels, truth, 1)
    tp, fp, fn = ((kinds == kind).sum() for kind in (1, 2, 3))
    assert found.confusion[1, 1] == tp
    assert found.confusion[:, 1].sum() == tp + fp
    assert found.confusion[1].sum() == tp + fn


def test_outcomes_of_what_is_ignored_and_of_other_sizes():
    assert not outcomes(np.ones((2, 2), int), np.full((2, 2), IGNORED), 1).any()
    with pytest.raises(UserError, match="one size"):
        outcomes(np.ones((2, 2), int), np.ones((2, 3), int), 1)


# A data set


def scores_with(ious: list[float]) -> DataSetScores:
    """Images of 100 pixels of the class, of which a share is found and nothing else."""
    images = []
    for number, iou in enumerate(ious):
        truth = np.zeros((20, 10), dtype=int)
        truth[:10] = 1
        labels = truth.copy().ravel()
        labels[: round(100 * (1 - iou))] = 0
        images.append(ScoredImage(str(number), count(certain(labels.reshape(20, 10)), truth)))
    return DataSetScores(("background", "vessel"), tuple(images))


def test_a_data_set_by_hand():
    scores = scores_with([0.5, 0.9, 0.7])
    mean, low, high = scores.mean_iou()
    assert mean == pytest.approx(0.7)
    assert 0.5 <= low < mean < high <= 0.9
    assert scores.worst_first() == [0, 2, 1]
    assert [row["image"] for row in scores.rows()] == ["0", "2", "1"]
    (iou,) = (each for each in scores.summaries() if (each.metric, each.class_name) == ("iou", "vessel"))
    assert (iou.mean, iou.pooled, iou.images) == (pytest.approx(0.7), pytest.approx(210 / 300), 3)
    assert {each.metric for each in scores.summaries() if each.class_name == "background"} == {
        "iou", "dice", "precision", "recall",
    }  # fmt: skip


def test_one_image_has_no_interval_and_empty_ones_do_not_count():
    one = scores_with([0.8])
    assert one.mean_iou()[0] == pytest.approx(0.8)
    assert all(math.isnan(end) for end in one.mean_iou()[1:])
    empty = ScoredImage("empty", count(certain(np.zeros((4, 4), int)), np.zeros((4, 4), int)))
    both = DataSetScores(one.class_names, (empty, *one.images))
    assert both.mean_iou()[0] == pytest.approx(0.8)
    assert both.worst_first() == [1, 0]
    none = DataSetScores(one.class_names, (empty,))
    assert math.isnan(none.mean_iou()[0])
    assert no_counts(2).of_classes()["iou"].shape == (2,)


def test_the_interval_is_that_of_the_normal_distribution_for_many_images():
    values = np.random.default_rng(1).normal(0.8, 0.05, 400)
    low, high = interval_of_mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == (
        pytest.approx(values.mean() - half, abs=half / 5),
        pytest.approx(values.mean() + half, abs=half / 5),
    )
    assert interval_of_mean(values) == (low, high) != interval_of_mean(values, seed=1)


class Threshold(nn.Module):
    """Two classes: bright or not."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(images), 20 * (images - 0.5)], dim=1)


def test_files_are_scored_one_after_the_other(tmp_path):
    segmenter = Segmenter(Threshold(), class_names=("background", "vessel"), in_channels=1, device="cpu")
    mask = np.zeros((24, 24), np.uint8)
    mask[8:16] = 255
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number, brightness in enumerate((255, 100)):  # the second one is too dark to be found
        Image.fromarray(mask // 255 * np.uint8(brightness)).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "labels" / f"{number}.png")
    done: list[int] = []
    scores = score_data_set(segmenter, find_pairs(tmp_path), done.append)
    assert done == [1, 2]
    assert scores.foreground_iou.tolist() == [1, 0]
    assert scores.images[1].pair is not None
    with pytest.raises(UserError, match="no images to score"):
        score_data_set(segmenter, [])
    wrong = Sample("odd", np.zeros((1, 8, 8), np.float32), np.full((8, 8), 3))
    with pytest.raises(UserError, match=r"odd: .*holds the class 3"):
        score_data_set(segmenter, [wrong])


def test_parts_of_a_data_set(tmp_path):
    write_data_set(tmp_path / "split", "vessels", 2, validation=1, test=1, size=(32, 32))
    assert len(pairs_of_part(tmp_path / "split")) == 4
    assert [len(pairs_of_part(tmp_path / "split", None, part)) for part in ("training", "validation", "test")] == [
        2,
        1,
        1,
    ]
    images = tmp_path / "split" / "train"
    with pytest.raises(UserError, match="Nothing says which images are for test"):
        pairs_of_part(images, None, "test", "vessmap.onnx")
    stem = find_pairs(images)[0].stem
    info = CheckpointInfo(
        "custom_resnet", {"width": 2}, training={"stems": {"test": [f"train/{stem}"], "validation": []}}
    )
    path = save_checkpoint(tmp_path / "net.safetensors", CustomResNet(width=2), info)
    assert [pair.stem for pair in pairs_of_part(images, None, "test", str(path))] == [stem]
    with pytest.raises(UserError, match="has no validation images"):
        pairs_of_part(images, None, "validation", str(path))
    # A record of other data, one in which images are missing, and one that is none.
    for stems, sentence in (
        ({"test": [f"other/{stem}"]}, "was not trained on a data set of the name train"),
        ({"test": [stem], "training": ["gone"]}, "1 of 2 images of its training, validation and test are not there"),
        (["x"], "Nothing says which images are for test"),
    ):
        info = CheckpointInfo("custom_resnet", {"width": 2}, training={"stems": stems})
        save_checkpoint(path, CustomResNet(width=2), info)
        with pytest.raises(UserError, match=sentence):
            pairs_of_part(images, None, "test", str(path))


def test_the_command_writes_what_it_prints(tmp_path):
    write_data_set(tmp_path / "data", "vessels", 3, validation=1, test=2, size=(64, 64))
    arguments = ["score", "--model", "vessmap", "--images", str(tmp_path / "data"), "--part", "test", "--device", "cpu"]
    outcome = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert outcome.exit_code == 0, outcome.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["images"] == 2
    assert f"2 images, mean IoU of the foreground {summary['mean_iou']['mean']:.4f}" in outcome.output
    lines = (tmp_path / "out" / "scores.csv").read_text().splitlines()
    assert len(lines) == 3
    first = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert f"Worst first: {first['image']} {float(first['mean IoU of the foreground']):.4f}" in outcome.output
