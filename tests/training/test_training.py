import csv
import json
import logging
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from core.cli import app
from core.data.data_sets import find_pairs, read_pair
from core.data.index_masks import CITYSCAPES_CLASSES
from core.errors import UserError
from core.models import CheckpointInfo, load_segmenter, read_checkpoint
from core.scoring.overlap import Scores, evaluate_segmenter, score_labels
from core.training import TrainingSettings, learner, learning_curves, train
from core.training import run as training_run
from core.training.augmentation import augment, jitter_intensity, random_crop, random_mirror, random_orientation
from core.training.estimation import estimate
from core.training.fitting import EpochLog
from core.training.learner import parameter_penalty, pixel_cross_entropy
from core.training.own_network import load_weights
from core.training.record import EpochRecord
from core.training.settings import Augmentation
from core.training.training_data import gather
from phantoms import SCENE_CLASSES
from phantoms.writing import write_data_set as write_phantoms


def write_data_set(folder: Path, count: int = 12, shape: tuple[int, ...] = (32, 40)) -> Path:
    """Images with one bright bar on a dark ground; the bar is the mask."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros(shape[:2], np.uint8)
        row = rng.integers(4, 20)
        mask[row : row + 8] = 255
        bright = mask if len(shape) == 2 else np.repeat(mask[..., None], shape[2], 2)
        image = np.clip(60 + 0.5 * bright + rng.normal(0, 10, shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "labels" / f"{number}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """Also for the networks that the module trains once."""


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, "vessels", 5, validation=1, test=1, size=(32, 40))
    return folder


def small(**changes) -> TrainingSettings:
    settings = {
        "arguments": {"width": 2, "dropout": 0.0},
        "crop": 32,
        "batch_size": 4,
        "epochs": 4,
        "crops_per_image": 3,
        "learning_rate": 1e-2,
        "validation_fraction": 0.25,
        "test_fraction": 0.25,
        "jitter": 0.1,
    }
    return TrainingSettings(**settings | changes)


def run(settings: TrainingSettings, out: Path, **arguments):
    return train(settings, out, "bars", device="cpu", progress_bar=False, **arguments)


@pytest.fixture(scope="module")
def trained(bars, tmp_path_factory):
    return run(small(images=bars), tmp_path_factory.mktemp("run"))


# Augmentation


def blob(height: int = 48, width: int = 64) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (((rows - 20) / 15) ** 2 + ((columns - 25) / 9) ** 2 < 1).long()


@pytest.mark.parametrize("seed", range(8))
def test_augmenting_a_mask_as_its_own_image_keeps_them_equal(seed):
    mask = torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (48, 64)))
    image, changed = augment(mask[None].float(), mask, Augmentation(32, 0, 0), np.random.default_rng(seed))
    assert changed.shape == (32, 32)
    torch.testing.assert_close(image[0], changed.float(), rtol=0, atol=0)


@pytest.mark.parametrize("seed", range(8))
def test_a_change_of_scale_keeps_them_aligned_to_the_pixel(seed):
    mask = blob()
    image, changed = augment(mask[None].float(), mask, Augmentation(32, 0.4, 0), np.random.default_rng(seed))
    assert image.shape == (1, 32, 32)
    # Away from the edge of the mask the two must agree; on the edge the image is between 0 and 1.
    inside = (image[0] == 0) | (image[0] == 1)
    assert inside.float().mean() > 0.5
    assert ((image[0] > 0.5) == (changed == 1))[inside].all()
    centres = [torch.nonzero(values > 0.5).float().mean(dim=0) for values in (image[0], changed)]
    torch.testing.assert_close(*centres, rtol=0, atol=0.5, equal_nan=True)


def test_crops_come_from_everywhere_and_only_from_the_image():
    image = torch.arange(12.0).view(1, 3, 4)
    rng = np.random.default_rng(0)
    corners = {random_crop(image, image[0].long(), 2, 0, rng)[0][0, 0, 0].item() for _ in range(200)}
    assert corners == {0, 1, 2, 4, 5, 6}


def test_all_eight_orientations_occur():
    image = torch.arange(4.0).view(1, 2, 2)
    rng = np.random.default_rng(0)
    seen = {tuple(random_orientation(image, image[0].long(), rng)[0].flatten().tolist()) for _ in range(200)}
    assert len(seen) == 8


def test_upright_images_are_mirrored_and_never_turned():
    image = torch.arange(4.0).view(1, 2, 2)
    rng = np.random.default_rng(0)
    seen = {tuple(random_mirror(image, image[0].long(), rng)[0].flatten().tolist()) for _ in range(50)}
    assert seen == {(0, 1, 2, 3), (1, 0, 3, 2)}
    # A ramp from dark above to bright below keeps its direction.
    ramp = torch.linspace(0, 1, 48)[:, None].repeat(1, 48)
    for seed in range(8):
        changed, _ = augment(
            ramp[None], ramp.long(), Augmentation(32, 0.2, 0, upright=True), np.random.default_rng(seed)
        )
        assert (changed[0].diff(dim=0) > 0).all()


def test_jitter_stays_in_range_and_changes_every_image_differently():
    image = torch.rand(2, 16, 16)
    rng = np.random.default_rng(0)
    first, second = jitter_intensity(image, 0.5, rng), jitter_intensity(image, 0.5, rng)
    assert 0 <= first.min() <= first.max() <= 1
    assert first.dtype == torch.float32
    assert not torch.equal(first, second)
    assert jitter_intensity(image, 0, rng) is image


def test_jitter_of_a_dim_image_is_that_of_a_bright_one_scaled():
    bright = 0.2 * torch.rand(1, 16, 16)
    jittered = [jitter_intensity(image, 0.3, np.random.default_rng(5)) for image in (bright, bright / 10)]
    torch.testing.assert_close(jittered[0], 10 * jittered[1], rtol=1e-3, atol=1e-5)
    black = torch.zeros(1, 4, 4)
    assert torch.equal(jitter_intensity(black, 0.3, np.random.default_rng(5)), black)


def test_an_epoch_takes_as_many_crops_of_each_image_as_its_data_set_is_given(bars, phantoms):
    settings = small(images=(bars, phantoms), crops_per_image=(5, 1))
    assert len(gather(settings).training_crops(settings)) == 6 * 5 + 5
    settings = small(images=(bars, phantoms), crops_per_image=2)
    assert len(gather(settings).training_crops(settings)) == (6 + 5) * 2


# Loss


def test_penalties_in_closed_form():
    module = nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, -2.0]]))
        module.bias.fill_(3)
    assert parameter_penalty(module, "l1", 0.5).item() == 3.0  # 0.5 · (1 + 2 + 3)
    assert parameter_penalty(module, "l2", 0.5).item() == 7.0  # 0.5 · (1 + 4 + 9)
    assert parameter_penalty(module, "none", 0.5).item() == 0.0
    module.bias.requires_grad_(requires_grad=False)
    assert parameter_penalty(module, "l1", 1.0).item() == 3.0


def test_cross_entropy_by_hand():
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, math.log(3)]]]])  # class 1 has the probabilities 1/2 and 3/4
    assert pixel_cross_entropy(logits, torch.tensor([[[0, 1]]])).item() == pytest.approx(
        (math.log(2) + math.log(4 / 3)) / 2
    )


def test_cross_entropy_of_one_channel_is_the_binary_one():
    z = torch.randn(2, 1, 3, 4)
    mask = torch.randint(0, 2, (2, 3, 4))
    binary = nn.functional.binary_cross_entropy_with_logits(z[:, 0], mask.float())
    torch.testing.assert_close(pixel_cross_entropy(torch.cat((torch.zeros_like(z), z), dim=1), mask), binary)


def test_ignored_pixels_count_neither_in_the_loss_nor_in_the_scores():
    logits = torch.tensor([[[[0.0, 5.0]], [[0.0, -5.0]]]])
    assert pixel_cross_entropy(logits, torch.tensor([[[0, 255]]])).item() == pytest.approx(math.log(2))
    assert pixel_cross_entropy(logits, torch.tensor([[[255, 255]]])).item() == 0
    labels, mask = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 1, 0, 255]])
    assert score_labels(labels, mask, 2).iou == (0.5, 0.5)


@pytest.mark.parametrize(("penalty", "power"), [("l1", 1), ("l2", 2)])
def test_the_penalty_is_added_to_what_is_minimised(bars, tmp_path, penalty, power):
    settings = {"images": bars, "epochs": 1, "crops_per_image": 1, "weight_decay": 0.0}
    still = run(small(penalty=penalty, penalty_weight=2.0, learning_rate=1e-12, **settings), tmp_path / "still")
    state, _ = read_checkpoint(still.checkpoint)
    parameters = [value for key, value in state.items() if not key.endswith(("_mean", "_var", "_tracked"))]
    expected = 2 * sum(float(value.abs().pow(power).sum()) for value in parameters)
    assert still.records[0].penalty == pytest.approx(expected, rel=1e-4)

    # So strong a penalty outweighs the cross-entropy: every parameter must move towards 0.
    start = sum(float(value.abs().sum()) for value in parameters)
    moved = run(small(penalty=penalty, penalty_weight=1e3, learning_rate=1e-3, **settings), tmp_path / "moved")
    state, _ = read_checkpoint(moved.checkpoint)
    end = sum(
        float(value.abs().sum()) for key, value in state.items() if not key.endswith(("_mean", "_var", "_tracked"))
    )
    assert end < 0.999 * start


# A run


def test_training_lowers_the_loss_and_finds_the_bars(trained):
    assert trained.records[-1].train_loss < 0.7 * trained.records[0].train_loss
    assert trained.scores["test_images"]["mean_iou"] > 0.5


def test_every_epoch_is_a_row_of_the_csv_file(trained):
    with trained.metrics.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    for row, record in zip(rows, trained.records, strict=True):
        for name in ("train_loss", "validation_loss", "validation_iou", "validation_dice", "learning_rate"):
            assert float(row[name]) == pytest.approx(getattr(record, name), rel=1e-5)


def test_the_learning_rate_goes_round_one_cycle(trained):
    rates = [record.learning_rate for record in trained.records]
    assert rates[0] > rates[1] > rates[2] > rates[3]  # it peaks after 30 % of the steps, in the second epoch
    assert rates[3] == pytest.approx(1e-2 / 25 / 1e4)


def test_the_checkpoint_loads_and_repeats_the_best_epochs_scores(bars, trained):
    segmenter = load_segmenter(trained.checkpoint, "cpu")
    _, info = read_checkpoint(trained.checkpoint)
    assert segmenter.class_names == ("background", "vessel")
    assert segmenter.mean == pytest.approx(info.mean)
    assert info.scores == trained.scores
    best = max(trained.records, key=lambda record: record.validation_iou)
    assert trained.best_epoch == best.epoch
    stems = info.training["stems"]
    pairs = {pair.stem: pair for pair in find_pairs(bars)}
    assert sorted(stems["training"] + stems["validation"] + stems["test"]) == sorted(pairs)
    for part, expected in (("validation", best.validation_iou), ("test", trained.scores["test_images"]["mean_iou"])):
        evaluation = evaluate_segmenter(segmenter, [pairs[stem] for stem in stems[part]])
        assert evaluation.mean_iou == pytest.approx(expected, abs=1e-6)


def test_the_normalisation_is_measured_on_the_training_images_alone(bars, trained):
    _, info = read_checkpoint(trained.checkpoint)
    images = [np.asarray(Image.open(bars / "images" / f"{s}.png")) / 255 for s in info.training["stems"]["training"]]
    assert info.mean[0] == pytest.approx(np.mean(images))
    assert info.std[0] == pytest.approx(np.std(images))


def test_the_card_and_the_curves_stand_alone(trained):
    card = trained.card.read_text()
    _, info = read_checkpoint(trained.checkpoint)
    assert f"test, 3 images: {', '.join(info.training['stems']['test'])}" in card
    assert f"| test images | 3 | {trained.scores['test_images']['mean_iou']:.4f}" in card
    assert str(trained.checkpoint.parent) not in card
    page = trained.curves.read_text()
    assert "validation loss" in page
    assert "<script src=" not in page
    figure = learning_curves(trained.records, trained.best_epoch)
    assert list(figure.data[2].y) == [record.validation_iou for record in trained.records]


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_state(bars, tmp_path, trained):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    again = run(small(images=bars), tmp_path / "again")
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()
    other = run(small(images=bars, seed=1, epochs=1), tmp_path / "other")
    states = [read_checkpoint(result.checkpoint)[0] for result in (trained, again, other)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["conv1.weight"], states[2]["conv1.weight"])


def test_the_best_epochs_weights_are_kept_and_not_the_last(tmp_path):
    network = nn.Conv2d(1, 2, 1)
    told = []
    log = EpochLog(tmp_path / "a.safetensors", CheckpointInfo("custom_resnet", {}), tmp_path / "m.csv", told.append)
    for epoch, iou in enumerate((0.2, 0.7, 0.7, 0.5)):
        nn.init.constant_(network.bias, epoch + 1)
        means = {"train_loss": 1, "penalty": 0, "validation_loss": 1, "validation_iou": iou, "validation_dice": iou}
        learner = SimpleNamespace(take_epoch=lambda means=means: means, learning_rate=0.1, network=network)
        log.on_train_epoch_end(SimpleNamespace(current_epoch=epoch), learner)
    assert log.best_epoch == 2
    assert read_checkpoint(log.checkpoint)[0]["bias"].tolist() == [2, 2]
    assert [record.epoch for record in told] == [1, 2, 3, 4]


def test_training_stops_when_patience_ends(bars, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(learner, "score_labels", lambda *_: Scores((0.5, 0.5), (0.5, 0.5)))
    settings = small(images=bars, patience=2, epochs=9, crops_per_image=1)
    result = run(settings, tmp_path, on_epoch=told.append)
    assert len(result.records) == 3  # the first, and two that were no better
    assert told == list(result.records)
    assert result.best_epoch == 1


def test_several_data_sets_are_trained_on_together_and_tested_apart(bars, phantoms, tmp_path):
    result = run(small(images=(bars, phantoms), epochs=1, crops_per_image=1, arguments={"width": 2}), tmp_path)
    _, info = read_checkpoint(result.checkpoint)
    assert {part: score["images"] for part, score in result.scores.items()} == {
        "validation": 3 + 1, f"test_{bars.name}": 3, f"test_{phantoms.name}": 1
    }  # fmt: skip
    assert info.training["settings"]["images"] == [bars.name, phantoms.name]
    stems = [info.training["stems"][part] for part in ("training", "validation", "test")]
    drawn = [[stem.split("/")[1] for stem in part if stem.startswith(f"{phantoms.name}/")] for part in stems]
    assert drawn == [[f"vessels_{seed}" for seed in range(10**6, 10**6 + 5)], ["vessels_2000000"], ["vessels_3000000"]]
    assert [len(part) for part in stems] == [6 + 5, 3 + 1, 3 + 1]
    card = result.card.read_text()
    assert f"`{bars.name}` and `{phantoms.name}`" in card
    assert f"| test {phantoms.name.replace('_', ' ')} | 1 |" in card


def test_batch_normalisation_learns_its_statistics(trained):
    """With the module left in eval mode they would stay what they start as: mean 0, variance 1, no batch counted."""
    state, _ = read_checkpoint(trained.checkpoint)
    batches = int(state["bn1.num_batches_tracked"])
    assert batches == trained.best_epoch * 4  # 6 images · 3 crops in batches of 4, the last one left out
    assert float(state["bn1.running_mean"].abs().max()) > 0


@pytest.mark.parametrize(
    ("kind", "arguments", "classes"),
    [
        ("fundus", {"width": 2, "depth": 1, "num_classes": 1}, ("background", "vessel")),
        ("scenes", {"width": 2, "depth": 1}, SCENE_CLASSES),
    ],
)
def test_colour_images_and_the_class_names_of_their_data_set(tmp_path, kind, arguments, classes):
    write_phantoms(tmp_path / "data", kind, 3, validation=1, test=1, size=(96, 96))
    settings = small(
        images=tmp_path / "data", architecture="unet", arguments=arguments, epochs=1, crops_per_image=1,
        normalisation="imagenet", upright=True,
    )  # fmt: skip
    result = run(settings, tmp_path)
    segmenter = load_segmenter(result.checkpoint, "cpu")
    assert segmenter.class_names == classes
    assert segmenter.in_channels == 3
    assert segmenter.mean == (0.485, 0.456, 0.406)
    assert segmenter.std == (0.229, 0.224, 0.225)
    assert read_checkpoint(result.checkpoint)[0]["final.weight"].shape[0] == arguments.get("num_classes", len(classes))
    assert f"- test, 1 images: {kind}_3000000" in result.card.read_text()


def test_a_given_split_is_kept_and_ignored_pixels_do_no_harm(tmp_path):
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        folder = write_data_set(tmp_path / "data" / split, count)
        for path in (folder / "labels").iterdir():
            ids = np.where(np.asarray(Image.open(path)) > 0, 26, 7).astype(np.uint8)  # car and road
            ids[:, :6] = 0  # unlabelled
            Image.fromarray(ids).save(folder / "labels" / f"{path.stem}_gtFine_labelIds.png")
            path.unlink()
    settings = small(images=tmp_path / "data", class_names=CITYSCAPES_CLASSES, epochs=2)
    result = run(settings, tmp_path / "out")
    assert result.scores["validation"]["images"] == 2
    assert result.scores["test_images"]["images"] == 1
    assert all(math.isfinite(record.validation_loss) for record in result.records)


def test_imagenets_normalisation_needs_three_channels(bars, tmp_path):
    with pytest.raises(UserError, match="is for 3 channels and the images have 1"):
        run(small(images=bars, normalisation="imagenet"), tmp_path)


def test_data_sets_that_cannot_be_joined_are_refused(bars, phantoms, tmp_path):
    write_phantoms(tmp_path / "streets", "scenes", 2, validation=1, size=(64, 64))
    write_phantoms(tmp_path / "eyes", "fundus", 2, validation=1, size=(96, 96))
    eyes, streets = tmp_path / "eyes", tmp_path / "streets"
    with pytest.raises(UserError, match="The image fundus_1000000 has 3 channels and others 1"):
        gather(small(images=(bars, eyes)))
    with pytest.raises(UserError, match=r"The masks of streets have 8 classes, road, .*, person and pole, and 2 are"):
        gather(small(images=(phantoms, streets)))
    with pytest.raises(UserError, match=r"holds the class 7, but only 3 classes are named: a, b, c"):
        gather(small(images=streets, class_names=("a", "b", "c")))
    with pytest.raises(UserError, match=r"The masks of .* have 2 classes, background and vessel, and 3 are named"):
        gather(small(images=phantoms, class_names=("background", "artery", "vein")))
    assert gather(small(images=(eyes,), class_names=("other", "vein"))).class_names == ("other", "vein")
    assert gather(small(images=(bars, phantoms))).class_names == ("background", "vessel")
    with pytest.raises(UserError, match="Two data sets have the same name"):
        gather(small(images=(bars, bars)))


def test_colour_images_and_one_single_step(tmp_path):
    data = write_data_set(tmp_path / "data", 3, (32, 32, 3))
    result = run(small(images=data, epochs=1, crops_per_image=1, zoom=0.2), tmp_path / "out")
    assert load_segmenter(result.checkpoint, "cpu").in_channels == 3


def test_nothing_is_printed_and_loggers_stay_as_they_were(bars, tmp_path, capfd, caplog, recwarn):
    level = logging.getLogger("lightning.pytorch").level
    run(small(images=bars, epochs=1, crops_per_image=1), tmp_path)
    captured = capfd.readouterr()
    assert captured.out + captured.err + caplog.text == ""
    assert [warning for warning in recwarn if "lightning" in warning.filename] == []
    assert logging.getLogger("lightning.pytorch").level == level


# Splits and weights of classes


def stems_of(settings: TrainingSettings) -> dict[str, list[str]]:
    data = gather(settings)
    return {part: data.stems(part) for part in ("training", "validation", "test")}


def test_runs_of_other_seeds_on_one_split(bars):
    first = stems_of(small(images=bars, seed=0))
    assert stems_of(small(images=bars, seed=5, split_seed=0)) == first != stems_of(small(images=bars, seed=5))


def test_a_split_from_a_file(bars, tmp_path):
    parts = {"train": [str(number) for number in range(9)], "val": ["9", "10"], "test": ["11"]}
    (tmp_path / "split.json").write_text(json.dumps(parts))
    found = stems_of(small(images=bars, split=str(tmp_path / "split.json")))
    assert list(found.values()) == list(parts.values())


def test_every_image_is_in_the_test_part_of_one_fold(bars):
    tested = [stems_of(small(images=bars, folds=4, fold=fold))["test"] for fold in (1, 2, 3, 4)]
    assert [len(part) for part in tested] == [3, 3, 3, 3]
    assert {stem for part in tested for stem in part} == {str(number) for number in range(12)}


def test_groups_stay_together(bars, tmp_path):
    rows = "".join(f"{number},{number % 4}\n" for number in range(12))
    (tmp_path / "groups.csv").write_text("stem,group\n" + rows)
    for settings in (
        small(images=bars, groups=str(tmp_path / "groups.csv")),
        small(images=bars, groups=str(tmp_path / "groups.csv"), folds=4, fold=2),
    ):
        parts = stems_of(settings)
        groups = [{int(stem) % 4 for stem in part} for part in parts.values()]
        assert sum(map(len, groups)) == 4
        assert sum(map(len, parts.values())) == 12
    by_name = stems_of(small(images=bars, groups="^.", validation_fraction=0.1, test_fraction=0.1))
    assert sum({"1", "10", "11"} <= set(part) for part in by_name.values()) == 1


def test_copies_across_the_parts_of_joined_data_sets_are_told(bars, tmp_path):
    other = shutil.copytree(bars, tmp_path / "other")
    for folder in ("images", "labels"):
        for path in (other / folder).iterdir():
            path.rename(path.with_stem(f"again{path.stem}"))
    data = gather(small(images=(bars, other)))
    part_of = {stem: part for part in ("training", "validation", "test") for stem in data.stems(part)}
    told = [sentence for sentence in data.warnings if "again" in sentence]
    for number in range(12):
        first, second = f"{bars.name}/{number}", f"other/again{number}"
        expected = part_of[first] != part_of[second]
        is_told = any(f"{first}, " in each and f"{second}, " in each for each in told)
        assert is_told == expected, (first, second)
    assert told


def test_data_that_comes_split_is_not_split_again(phantoms):
    with pytest.raises(UserError, match="comes split; leave out split, groups and folds"):
        gather(small(images=phantoms, folds=3))


def test_balanced_weights_give_every_class_the_same_weight_in_all(bars):
    data = gather(small(images=bars, class_weights="balanced"))
    shares = np.bincount(np.concatenate([read_pair(pair).mask.ravel() for pair in data.pairs("training")]))
    shares = shares / shares.sum()
    assert np.multiply(data.class_weights, shares) == pytest.approx([0.5, 0.5])  # so the mean weight is 1
    assert gather(small(images=bars, class_weights="1, 5")).class_weights == (1, 5)
    assert gather(small(images=bars)).class_weights is None
    with pytest.raises(UserError, match="3 class weights and 2 classes"):
        gather(small(images=bars, class_weights="1, 2, 3"))


def test_weights_of_classes_change_what_is_learned(bars, tmp_path):
    foreground = {}
    for weights in ("1, 0.001", "0.001, 1"):
        result = run(small(images=bars, class_weights=weights, epochs=8), tmp_path / weights)
        network = load_segmenter(result.checkpoint.with_name("bars_last.safetensors"), "cpu")
        sure = [network.predict(read_pair(pair).image).probabilities[1] for pair in find_pairs(bars)]
        foreground[weights] = float(np.mean(sure))
    assert foreground["1, 0.001"] < 0.2  # a quarter of the pixels are foreground
    assert foreground["0.001, 1"] > 0.5


# Networks of the user's own

OWN = """
from torch import nn

def network(in_channels, num_classes, width=2):
    return nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                         nn.Conv2d(width, num_classes, 1))

def without_arguments():
    return network(1, 2)

def prepared():
    from core import Segmenter
    return Segmenter(network(1, 2), class_names=("ground", "bar"), in_channels=1, mean=0.25, std=0.5)

def of_three_classes():
    return network(1, 3)

class Wrapped(nn.Module):  # all names of its weights begin with "model.", as those of many wrappers do
    def __init__(self):
        super().__init__()
        self.model = network(1, 2)
        self.model.again = self.model[0]  # tied weights

    def forward(self, x):
        return self.model[3](self.model[2](self.model[1](self.model[0](x))))

def seeded(seed):
    return Wrapped()
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


@pytest.mark.parametrize("function", ["network", "without_arguments", "prepared", "Wrapped"])
def test_a_network_of_ones_own_is_trained_and_found_again(bars, own, tmp_path, function):
    arguments = {"width": 3} if function == "network" else {}
    settings = small(images=bars, architecture=f"{own}:{function}", arguments=arguments)
    result = run(settings, tmp_path / "out")
    best = load_weights(settings, result.checkpoint, "cpu")
    assert best.in_channels == 1
    assert best.class_names == (("ground", "bar") if function == "prepared" else ("background", "vessel"))
    if function == "prepared":
        assert (best.mean, best.std) == ((0.25,), (0.5,))
    evaluation = evaluate_segmenter(best, gather(settings).pairs("validation"))
    assert evaluation.mean_iou == pytest.approx(result.scores["validation"]["mean_iou"])
    # The file beside the weights makes it a network like any other, and no path of this machine is in the weights.
    by_name = load_segmenter(f"{tmp_path / 'out' / 'bars.py'}:network", "cpu")
    image = read_pair(find_pairs(bars)[0]).image
    np.testing.assert_array_equal(by_name.predict(image).probabilities, best.predict(image).probabilities)
    assert str(tmp_path).encode() not in result.checkpoint.read_bytes()
    with pytest.raises(UserError, match=rf"own\.py:{function}, a network of your own code; .*bars\.py:network"):
        load_segmenter(result.checkpoint, "cpu")


def test_a_network_of_ones_own_that_cannot_be_trained(bars, own, tmp_path):
    with pytest.raises(UserError, match="takes no argument depth"):
        run(small(images=bars, architecture=f"{own}:network", arguments={"depth": 3}), tmp_path / "out")
    with pytest.raises(UserError, match="2 class names were given for 3 classes"):
        run(small(images=bars, architecture=f"{own}:of_three_classes", arguments={}), tmp_path / "out")
    with pytest.raises(UserError, match="There is no file"):
        run(small(images=bars, architecture=f"{tmp_path / 'no.py'}:network", arguments={}), tmp_path / "out")
    large = small(images=bars, architecture=f"{own}:seeded", arguments={"seed": 123_456})
    with pytest.raises(UserError, match="the argument seed is a number beyond"):
        run(large, tmp_path / "out", on_epoch=lambda _: pytest.fail("told before anything is trained"))


def test_the_file_that_loads_a_network_of_ones_own_is_there_before_training_has_ended(bars, own, tmp_path):
    def stop(record) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    settings = small(images=bars, architecture=f"{own}:network", arguments={})
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(settings, tmp_path / "out", on_epoch=stop)
    best = load_weights(settings, tmp_path / "out" / "bars.safetensors", "cpu")
    found = load_segmenter(f"{tmp_path / 'out' / 'bars.py'}:network", "cpu")
    image = read_pair(find_pairs(bars)[0]).image
    np.testing.assert_array_equal(found.predict(image).labels, best.predict(image).labels)
    with pytest.raises(UserError, match=r"give that file, as NAME\.py:network"):
        load_segmenter(tmp_path / "out" / "bars_last.safetensors", "cpu")
    own.write_text(own.read_text().replace("nn.ReLU()", "nn.ELU()"))
    with pytest.raises(UserError, match="made with other code of the network"):
        run(settings, tmp_path / "out", resume=True)


# Mistakes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "nothing to train on"),
        ({"masks": "labels"}, "without images"),
        ({"images": ("a", "b"), "masks": "labels"}, "belongs to one folder of images"),
        ({"images": ("a", "b"), "crops_per_image": (1, 2, 3)}, "one number of crops per image, or one per data set"),
        ({"images": "a", "crops_per_image": 0}, "number of crops per image must be more than 0"),
        ({"images": "a", "architecture": "vgg"}, 'no architecture "vgg"'),
        ({"images": "a", "penalty": "l3"}, 'no penalty "l3"; use none, l1, l2'),
        ({"images": "a", "class_names": ("vessel",)}, "at least two classes"),
        ({"images": "a", "epochs": 0}, "number of epochs must be more than 0"),
        ({"images": "a", "learning_rate": -1.0}, "learning rate must be more than 0; it is -1"),
        ({"images": "a", "seed": -1}, "seed must not be negative; it is -1"),
        ({"images": "a", "normalisation": "none"}, 'no normalisation "none"; use measured, imagenet'),
        ({"images": "a", "class_weights": "1, much"}, 'The class weights are "1, much"; write balanced, or a number'),
        ({"images": "a", "class_weights": "0, 0"}, "class weights"),
        ({"images": "a", "class_weights": "1, -1"}, "class weights"),
        ({"images": "a", "folds": 3, "fold": 4}, "no fold 4 of 3"),
        ({"images": "a", "fold": 2}, "no fold 2"),
        ({"images": "a", "split": "split.csv", "folds": 3}, "leave out folds and groups"),
        ({"images": "a", "split_seed": -1}, "split seed must not be negative"),
        ({"images": "a", "learning_rate": float("nan")}, "learning rate must be a finite number"),
        ({"images": "a", "validation_fraction": float("nan")}, "validation fraction must be a finite number"),
        ({"images": "a", "weight_decay": float("inf")}, "weight decay must be a finite number"),
        ({"images": ("a", "b"), "groups": "^."}, "groups, are for one data set"),
        ({"images": ("a", "b"), "split": "split.csv"}, "are for one data set"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        TrainingSettings(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"crop": 33}, r"is 32×40 pixels, smaller than the crop of 33; set the crop to 32 or less"),
        ({"images": "nowhere"}, "There is no folder"),
        ({"test_fraction": 0.9}, "fractions"),
        ({"arguments": {"depth": 3}}, "cannot be built"),
        ({"learning_rate": 1e30}, "no longer finite in epoch 1; lower the learning rate"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(bars, tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        run(small(**{"images": bars} | changes), tmp_path)


def test_images_that_differ_in_kind_are_refused(tmp_path):
    data = write_data_set(tmp_path / "data", 8)
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(data / "images" / "7.png")
    with pytest.raises(UserError, match=r"The image 7\.png has 3 channels and most have 1"):
        run(small(images=data), tmp_path)
    Image.fromarray(np.zeros((32, 40), np.uint8)).save(data / "images" / "7.png")
    Image.fromarray(np.full((32, 40), 3, np.uint8)).save(data / "labels" / "7.png")
    Image.fromarray(np.full((32, 40), 3, np.uint8)).save(data / "labels" / "6.png")
    with pytest.raises(UserError) as caught:  # of all that is wrong, each is told
        run(small(images=data), tmp_path)
    assert [line.split(" holds")[0] for line in str(caught.value).splitlines()] == ["The mask 6.png", "The mask 7.png"]
    for path in (data / "labels").iterdir():
        Image.fromarray(np.tile(np.uint8([0, 1, 2, 3]), (32, 10))).save(path)
    with pytest.raises(UserError, match="The masks of data hold 4 classes, but only 2 classes are named"):
        run(small(images=data), tmp_path)
    for path in (data / "labels").iterdir():
        Image.fromarray(np.zeros((32, 40), np.uint8)).save(path)
    with pytest.raises(UserError, match="None of the validation images has anything but background"):
        run(small(images=data), tmp_path)


def test_a_name_with_a_folder_in_it_is_refused(bars, tmp_path):
    with pytest.raises(UserError, match="cannot be a file name"):
        train(small(images=bars), tmp_path, "../model")


def test_curves_of_one_epoch_are_visible():
    figure = learning_curves([EpochRecord(1, 0.5, 0.0, 0.6, 0.3, 0.4, 1e-3, 1.0)], 1)
    assert all(trace.mode == "lines+markers" for trace in figure.data)


@pytest.mark.parametrize(
    ("given", "images", "crops", "classes"),
    [
        (["--images", "a"], ["a"], (1,), None),
        (["--images", "a", "--images", "b", "--crops-per-image", "4"], ["a", "b"], (4, 4), None),
        (
            ["--images=a", "--images=b", "--crops-per-image=4", "--crops-per-image=1", "--class-names", "other, vein"],
            ["a", "b"],
            (4, 1),
            ("other", "vein"),
        ),
    ],
)
def test_the_command_line_joins_data_sets(tmp_path, monkeypatch, given, images, crops, classes):
    asked = []
    result = SimpleNamespace(
        best_epoch=1, records=[1], seconds=60.0, scores={}, checkpoint="", card="", metrics="", curves=""
    )
    monkeypatch.setattr(training_run, "train", lambda settings, *_, **__: asked.append(settings) or result)
    arguments = ["train", "--normalisation", "imagenet", "--upright", "--out", str(tmp_path), *given]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert ([str(folder) for folder in asked[0].folders], asked[0].crops) == (images, crops)
    assert asked[0].class_names == classes
    assert (asked[0].normalisation, asked[0].upright) == ("imagenet", True)


def test_what_is_odd_in_the_data_is_told_before_anything_is_trained(bars, tmp_path):
    data = write_data_set(tmp_path / "data", 4, (32, 32))
    Image.fromarray(np.full((32, 32), 70, np.uint8)).save(data / "images" / "2.png")
    told: list[str] = []
    run(small(images=data, epochs=1), tmp_path / "out", on_warning=told.append, on_epoch=lambda _: told.append("epoch"))
    assert "2.png" in told[0]
    assert "only 4 images" in told[1]
    assert told[2:] == ["epoch"]


def test_a_batch_that_is_too_small_for_the_normalisation_is_told(bars, tmp_path):
    settings = small(
        images=bars, architecture="smp_deeplabv3plus", arguments={"encoder_name": "resnet18"}, crops_per_image=1,
        batch_size=5, epochs=1,
    )  # fmt: skip
    assert len(gather(settings).pairs("training")) == 6
    with pytest.raises(UserError, match="single crop"):
        run(settings, tmp_path)


def test_what_a_run_would_take_follows_its_steps_and_its_network(bars):
    found = estimate(small(images=bars, epochs=3), "cpu")
    assert found.steps_per_epoch == 4  # 6 images, 3 crops of each, 4 at once; the last two are left out
    once = found.steps_per_epoch * found.seconds_per_step + found.seconds_per_validation
    assert found.seconds == pytest.approx(3 * once)
    large = estimate(small(images=bars, epochs=3, arguments={"width": 8}), "cpu")
    assert large.parameters > 10 * found.parameters
    assert large.memory_bytes - found.memory_bytes > 16 * (large.parameters - found.parameters)
    small_encoder = {"encoder_name": "resnet18"}
    assert estimate(small(images=bars, architecture="smp_deeplabv3plus", arguments=small_encoder), "cpu").seconds > 0
    with pytest.raises(UserError, match='There is no encoder "nonsense"'):
        estimate(small(images=bars, architecture="smp_unet", arguments={"encoder_name": "nonsense"}), "cpu")
    with pytest.raises(UserError, match=r"cannot take a step .* another batch size"):
        estimate(small(images=bars, architecture="smp_deeplabv3plus", arguments=small_encoder, batch_size=1), "cpu")
