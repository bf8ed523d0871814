"""Explanation along training: the maps are those of the checkpoints, whatever became of the run."""

import io
import shutil
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from core.attribution import gradient
from core.data.data_sets import read_pair
from core.errors import UserError
from core.models import load_segmenter
from core.target import PREDICTED, Score, Target
from core.training import train
from core.training.along import MapsAlong, gradient_maps_along
from core.training.film import MOST_FRAMES, colour_ends, film
from core.training.saved_epochs import (
    SavedEpoch,
    epoch_checkpoint,
    last_checkpoint,
    saved_epochs,
    validation_images,
)
from core.training.settings import TrainingSettings
from tests.training.test_training import small, write_data_set

PIXELS = [(5, 7), (20, 30)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """The networks are trained once for the module."""


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="module")
def trained(bars, tmp_path_factory):
    settings = small(images=bars, epochs=5, keep_every=2, patience=10)
    out = tmp_path_factory.mktemp("trained")
    return SimpleNamespace(
        settings=settings, out=out, result=train(settings, out, "bars", device="cpu", progress_bar=False)
    )


@pytest.fixture
def copied(trained, tmp_path):
    """The run in a folder of its own, to be harmed."""
    out = tmp_path / "run"
    shutil.copytree(trained.out, out)
    return out / trained.result.checkpoint.name


def image_of(trained) -> np.ndarray:
    found = saved_epochs(trained.result.checkpoint)
    return read_pair(next(iter(validation_images(trained.settings, found.validation).values()))).image


def numbers(found) -> list[int]:
    return [saved.epoch for saved in found.epochs]


def test_the_first_epoch_every_so_many_and_the_last_are_saved(trained):
    found = saved_epochs(trained.result.checkpoint)
    assert numbers(found) == [1, 2, 4, 5]
    assert not found.left_out
    assert found.epochs[-1].checkpoint == last_checkpoint(trained.result.checkpoint)
    assert len(found.validation) == 3


def test_names_with_brackets_and_names_that_begin_alike(trained, tmp_path):
    kept = tmp_path / "epochs"
    kept.mkdir()
    of_another = saved_epochs(trained.result.checkpoint).epochs[0].checkpoint
    for name in ("run [a]_0001", "run [a]_b_0002"):
        (kept / f"{name}.safetensors").write_bytes(of_another.read_bytes())
    found = saved_epochs(tmp_path / "run [a].safetensors")
    assert [each.checkpoint.name for each in found.epochs] == ["run [a]_0001.safetensors"]


def test_a_run_that_keeps_none_has_the_last_epoch(bars, tmp_path):
    result = train(small(images=bars, epochs=2), tmp_path, "bars", device="cpu", progress_bar=False)
    assert numbers(saved_epochs(result.checkpoint)) == [2]
    assert numbers(saved_epochs(tmp_path / "other.safetensors")) == []


def test_an_early_stop_and_a_resumed_run_end_with_the_epoch_that_was_last(bars, tmp_path):
    settings = small(images=bars, epochs=30, keep_every=3, patience=1, learning_rate=1e-9)
    result = train(settings, tmp_path / "early", "bars", device="cpu", progress_bar=False)
    done = len(result.records)
    assert 1 < done < 30
    assert numbers(saved_epochs(result.checkpoint)) == sorted({1, *range(3, done + 1, 3), done})

    def interrupt(record) -> None:
        if record.epoch == 3:
            raise KeyboardInterrupt

    settings, out = small(images=bars, epochs=4, keep_every=2), tmp_path / "resumed"
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(settings, out, "bars", device="cpu", progress_bar=False, on_epoch=interrupt)
    assert numbers(saved_epochs(out / "bars.safetensors")) == [1, 2, 3]
    train(settings, out, "bars", device="cpu", progress_bar=False, resume=True)
    assert numbers(saved_epochs(out / "bars.safetensors")) == [1, 2, 4]


@pytest.mark.parametrize("space", ["logit", "probability", "log_odds"])
def test_each_map_is_the_gradient_of_its_checkpoint(trained, space):
    found, image = saved_epochs(trained.result.checkpoint), image_of(trained)
    maps = gradient_maps_along(trained.settings, found.epochs, image, PIXELS, Score(1, space), device="cpu")
    assert maps.values.shape == (4, 2, 1, 32, 40)
    assert maps.pixels == PIXELS
    for place, saved in enumerate(found.epochs):
        segmenter = load_segmenter(saved.checkpoint, "cpu")
        for index, (row, column) in enumerate(PIXELS):
            target = Target.pixel(row, column, 1, space)
            expected = gradient(segmenter, image, target)
            np.testing.assert_allclose(maps.values[place, index], expected.values, rtol=0, atol=1e-6)
            score = target(segmenter.logits(image)).item()
            assert maps.scores[place, index] == pytest.approx(score, abs=1e-6)
            assert maps.unit == expected.unit
    assert np.abs(maps.values[0] - maps.values[-1]).max() > 1e-3  # else the comparison would say nothing


def test_the_predicted_class_is_that_of_the_last_epoch_in_all(trained):
    found, image = saved_epochs(trained.result.checkpoint), image_of(trained)
    maps = gradient_maps_along(trained.settings, found.epochs, image, PIXELS, Score(PREDICTED), device="cpu")
    labels = load_segmenter(found.epochs[-1].checkpoint, "cpu").predict(image).labels
    assert [target.class_index for target in maps.targets] == [labels[pixel] for pixel in PIXELS]


def test_known_maps_are_taken_over_and_only_those(trained, monkeypatch):
    found, image = saved_epochs(trained.result.checkpoint), image_of(trained)
    explained = []

    def counted(segmenter, image, target, **more):
        explained.append((target.row, target.column))
        return gradient(segmenter, image, target, **more)

    monkeypatch.setattr("core.training.along.gradient", counted)
    ask = (trained.settings, found.epochs[:3], image)
    first = gradient_maps_along(*ask, PIXELS[:1], Score(), device="cpu")
    assert len(explained) == 3
    both = gradient_maps_along(*ask[:1], found.epochs, image, PIXELS, Score(), device="cpu", known=first)
    assert explained.count(PIXELS[0]) == 3 + 1  # of the new epoch
    assert explained.count(PIXELS[1]) == 4
    np.testing.assert_array_equal(both.values[:3, 0], first.values[:, 0])
    gradient_maps_along(*ask, PIXELS[:1], Score(0), device="cpu", known=both)
    assert explained.count(PIXELS[0]) == 4 + 3


def test_a_damaged_epoch_is_left_out_with_a_word(copied, trained):
    cut, strange = epoch_checkpoint(copied, 2), epoch_checkpoint(copied, 4)
    cut.write_bytes(cut.read_bytes()[:-100])
    found = saved_epochs(copied)
    assert numbers(found) == [1, 4, 5]
    assert "bars_0002.safetensors" in found.left_out[0]
    # A file that is whole, but with weights that are no numbers.
    weights = {name: values.clone() for name, values in load_file(strange).items()}
    next(values for values in weights.values() if values.is_floating_point()).fill_(float("nan"))
    with safe_open(strange, "pt") as file:
        metadata = file.metadata()
    save_file(weights, strange, metadata)
    found = saved_epochs(copied)
    maps = gradient_maps_along(trained.settings, found.epochs, image_of(trained), PIXELS, Score(), device="cpu")
    assert maps.numbers == [1, 5]
    assert "not finite" in maps.left_out[0]
    assert "Epoch 4" in maps.left_out[0]


def test_weights_of_another_run_in_the_folder_are_left_out(copied, bars, tmp_path):
    other = small(images=bars, epochs=3, keep_every=3, learning_rate=2e-2)
    result = train(other, tmp_path / "other", "bars", device="cpu", progress_bar=False)
    shutil.copy(epoch_checkpoint(result.checkpoint, 3), epoch_checkpoint(copied, 3))
    found = saved_epochs(copied)
    assert numbers(found) == [1, 2, 4, 5]
    assert "another run" in found.left_out[0]


def test_a_file_that_is_replaced_or_deleted_meanwhile_is_left_out(copied, trained):
    found, image = saved_epochs(copied), image_of(trained)
    epoch_checkpoint(copied, 2).unlink()
    stale = [*found.epochs[:-1], replace(found.epochs[-1], version=(1, 1))]
    maps = gradient_maps_along(trained.settings, stale, image, PIXELS, Score(), device="cpu")
    assert maps.numbers == [1, 4]
    shutil.rmtree(copied.parent)
    with pytest.raises(UserError, match="No weights"):
        gradient_maps_along(trained.settings, stale, image, PIXELS, Score(), device="cpu")


def test_what_does_not_fit_is_said(trained, tmp_path):
    found, image = saved_epochs(trained.result.checkpoint), image_of(trained)
    for pixels in ([], PIXELS * 3):
        with pytest.raises(UserError, match="one to 4 pixels"):
            gradient_maps_along(trained.settings, found.epochs, image, pixels, Score(), device="cpu")
    with pytest.raises(UserError, match="outside"):
        gradient_maps_along(trained.settings, found.epochs, image, [(99, 0)], Score(), device="cpu")
    with pytest.raises(UserError, match="There is no folder"):
        validation_images(TrainingSettings(images=tmp_path / "gone"), found.validation)
    other = write_data_set(tmp_path / "other", count=3)
    with pytest.raises(UserError, match="None of the run's validation images"):
        validation_images(TrainingSettings(images=other), ["77"])


def along(*maps: list, scores: list | None = None) -> MapsAlong:
    """Maps of one pixel and one row of values, of the epochs 1, 3, 5, …"""
    values = np.array(maps, np.float32)[:, None, None, None, :]
    epochs = tuple(SavedEpoch(2 * place + 1, None, (0, 0)) for place in range(len(maps)))
    given = np.array(scores if scores is not None else [0.0] * len(maps))[:, None]
    return MapsAlong(epochs, (Target.pixel(0, 1),), values, given, "logit per unit intensity")


def test_similarity_and_the_epoch_since_which_it_holds():
    # By hand: (3, 4)·(4, 3) / 25 = 0.96; (1, 0)·(4, 3) / 5 = 0.8; signs and sizes do not count.
    maps = along([1, 0], [3, -4], [1, 0], [-8, -6], [4, 3])
    np.testing.assert_allclose(maps.similarity(0), [0.8, 0.96, 0.8, 1, 1], atol=1e-12)
    assert maps.settled_since(0) == 7
    assert maps.settled_since(0, least=0.75) == 1
    assert maps.answer(0) == "Since epoch 7 it looks where it looks now; in epoch 5 it did not yet."
    assert along([3, 4], [4, 3]).answer(0).endswith("since epoch 1, the first that is saved.")
    late = along([4, 3], [1, 0], [4, 3])
    assert late.settled_since(0) is None
    assert "epoch 3" in late.answer(0)
    assert "0.80" in late.answer(0)


def test_a_map_of_zeros_is_like_none_and_is_said():
    maps = along([0, 0], [4, 3], [4, 3])
    np.testing.assert_allclose(maps.similarity(0), [np.nan, 1, 1])
    assert maps.settled_since(0) == 3
    nowhere = along([4, 3], [0, 0])
    assert np.isnan(nowhere.similarity(0)).all()
    assert nowhere.settled_since(0) is None
    assert "0 everywhere" in nowhere.answer(0)
    assert "Only the weights of epoch 1" in along([4, 3]).answer(0)


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_the_film_has_a_frame_for_each_epoch(trained, kind):
    found, image = saved_epochs(trained.result.checkpoint), image_of(trained)
    maps = gradient_maps_along(trained.settings, found.epochs, image, PIXELS, Score(), device="cpu")
    with Image.open(io.BytesIO(film(maps, image, kind=kind))) as picture:
        assert picture.format == kind.upper()
        assert picture.n_frames == 4
        assert picture.info["loop"] == 0
        assert max(picture.size) <= 1042
        shown = []
        for place in range(4):
            picture.seek(place)
            shown.append(np.asarray(picture.convert("RGB")))
    assert all((before != after).any() for before, after in pairwise(shown))


def test_the_film_shows_the_map_of_its_epoch_where_it_is_strong():
    image = np.full((1, 8, 8), 0.5, np.float32)
    values = np.zeros((2, 1, 1, 8, 8), np.float32)
    values[0, 0, 0, 2, 3], values[1, 0, 0, 5, 6] = 2.0, -1.0
    epochs = tuple(SavedEpoch(epoch, None, (0, 0)) for epoch in (1, 9))
    maps = MapsAlong(epochs, (Target.pixel(0, 0),), values, np.zeros((2, 1)), "")
    assert colour_ends(maps, shared=True).ravel().tolist() == [2.0, 2.0]
    assert colour_ends(maps, shared=False).ravel().tolist() == [2.0, 1.0]
    with Image.open(io.BytesIO(film(maps, image))) as picture:
        side = 512 // 8
        for place, (row, column), is_red in ((0, (2, 3), True), (1, (5, 6), False)):
            picture.seek(place)
            frame = np.asarray(picture.convert("RGB")).astype(int)
            at = frame[26 + row * side + side // 2, 6 + column * side + side // 2]
            assert (at[0] > at[2] + 50) if is_red else (at[2] > at[0] + 50)
            elsewhere = frame[26 + 7 * side + side // 2, 6 + side // 2]
            assert elsewhere.tolist() == [198, 198, 198]  # 255 - 0.45 · (255 - 128), rounded


def test_a_long_film_is_bounded():
    rng = np.random.default_rng(0)
    count = 2 * MOST_FRAMES + 1
    values = rng.normal(size=(count, 1, 1, 16, 16)).astype(np.float32)
    epochs = tuple(SavedEpoch(epoch + 1, None, (0, 0)) for epoch in range(count))
    maps = MapsAlong(epochs, (Target.pixel(0, 0),), values, np.zeros((count, 1)), "")
    with Image.open(io.BytesIO(film(maps, rng.random((1, 16, 16), np.float32)))) as picture:
        assert picture.n_frames == MOST_FRAMES
