"""The sample images: found in every layout, and the ones that fit the model first."""

import numpy as np
import pytest
import torch
from PIL import Image

from core import Segmenter, UserError
from core.data.images import with_channels
from widgets.shared import sources
from widgets.shared.sources import best_first, is_convertible, sample_channels, sample_images


@pytest.fixture
def samples(tmp_path, monkeypatch):
    def write(path: str, *, colour: bool = False) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3) if colour else (4, 4), np.uint8)).save(tmp_path / path)

    for path in ("vessels/images/a.png", "vessels/labels/a.png", "formats/images/grey.png"):
        write(path)
    write("scenes/test/masks/s.png")
    for path in ("formats/images/colour.png", "scenes/test/images/s.png", "scenes/train/images/s.png"):
        write(path, colour=True)
    write("streets/test/images/t.png", colour=True)
    monkeypatch.setattr(sources, "SAMPLES", tmp_path)
    return sample_images()


def test_samples_of_both_layouts_have_names_and_masks(samples, tmp_path):
    assert set(samples) == {
        "vessels/a", "formats/grey", "formats/colour", "scenes/s", "scenes/train/s", "streets/t",
    }  # fmt: skip
    assert samples["vessels/a"][1] == tmp_path / "vessels/labels/a.png"
    assert samples["scenes/s"] == (tmp_path / "scenes/test/images/s.png", tmp_path / "scenes/test/masks/s.png")
    assert samples["streets/t"][1] is None


def test_the_header_tells_the_channels(samples):
    assert {name: sample_channels(path) for name, (path, _) in samples.items() if "formats" in name} == {
        "formats/grey": 1,
        "formats/colour": 3,
    }


@pytest.mark.parametrize(
    ("name", "channels", "first"),
    [
        ("vessmap", 1, "vessels/a"),
        ("streets", 3, "streets/t"),
        ("another", 3, "formats/colour"),
    ],
)
def test_the_model_opens_on_an_image_that_it_takes(samples, name, channels, first):
    segmenter = Segmenter(torch.nn.Conv2d(channels, 2, 1), in_channels=channels, name=name)
    names = best_first(samples, segmenter)
    assert names[0] == first
    fits = [sample_channels(samples[one][0]) == channels for one in names]
    assert fits == sorted(fits, reverse=True)
    assert set(names) == set(samples)


@pytest.mark.parametrize(
    ("channels", "taken", "convertible"),
    [(1, 1, True), (3, 1, True), (3, 3, True), (1, 3, True), (4, 3, False), (4, 1, False), (1, 4, True), (3, 4, False)],
)
def test_what_can_be_converted(channels, taken, convertible):
    segmenter = Segmenter(torch.nn.Conv2d(taken, 2, 1), in_channels=taken)
    assert is_convertible(channels, segmenter) == convertible
    try:
        with_channels(np.zeros((channels, 8, 8), np.float32), taken)
    except UserError:
        assert not convertible
    else:
        assert convertible


def test_a_new_sample_is_found(samples, tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "vessels/images/b.png")
    assert set(sample_images()) == {*samples, "vessels/b"}
