"""The images that can be chosen: samples and folders in every layout, and those first that fit the network."""

import json
import os

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from core import Segmenter, UserError
from core.data.images import load_image, with_channels
from widgets.shared import offered_images as offered_module
from widgets.shared.offered_images import (
    OfferedImage,
    first_that_fits,
    images_in,
    in_groups,
    is_convertible,
    offered_images,
    read_truth,
    sample_images,
)


def network(channels: int, name: str) -> Segmenter:
    return Segmenter(torch.nn.Conv2d(channels, 2, 1), in_channels=channels, name=name)


@pytest.fixture
def write(tmp_path):
    def write(path: str, value: int = 0, *, colour: bool = False) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 8, 3) if colour else (9, 8), value, np.uint8)).save(tmp_path / path)

    return write


@pytest.fixture
def samples(tmp_path, write, monkeypatch):
    for path in ("vessels/images/a.png", "vessels/labels/a.png", "formats/images/grey.png"):
        write(path)
    write("scenes/test/masks/s.png")
    for path in ("formats/images/colour.png", "scenes/test/images/s.png", "scenes/train/images/s.png"):
        write(path, colour=True)
    write("streets/test/images/t.png", colour=True)
    monkeypatch.setattr(offered_module, "SAMPLES", tmp_path)
    return sample_images()


def test_samples_of_both_layouts_have_names_and_masks(samples, tmp_path):
    assert set(samples) == {
        "vessels/a", "formats/grey", "formats/colour", "scenes/s", "scenes/train/s", "streets/t",
    }  # fmt: skip
    assert samples["vessels/a"].truth == tmp_path / "vessels/labels/a.png"
    assert samples["scenes/s"].path == tmp_path / "scenes/test/images/s.png"
    assert samples["scenes/s"].truth == tmp_path / "scenes/test/masks/s.png"
    assert samples["streets/t"].truth is None


@pytest.mark.parametrize(
    ("name", "channels", "first", "groups"),
    [
        ("vessmap", 1, "vessels/a", ["vessels"]),
        ("streets", 3, "streets/t", ["streets"]),
        ("another", 3, "formats/colour", ["formats"]),
    ],
)
def test_the_model_opens_on_an_image_that_it_takes(samples, name, channels, first, groups):
    segmenter = network(channels, name)
    assert first_that_fits(samples.values(), segmenter).name == first
    assert list(in_groups(samples.values(), segmenter))[:1] == groups
    assert {image.name for images in in_groups(samples.values(), segmenter).values() for image in images} == set(
        samples
    )


@pytest.mark.parametrize(
    ("channels", "taken", "convertible"),
    [(1, 1, True), (3, 1, True), (3, 3, True), (1, 3, True), (4, 3, False), (4, 1, False), (1, 4, True), (3, 4, False)],
)
def test_what_can_be_converted(channels, taken, convertible):
    assert is_convertible(channels, network(taken, "any")) == convertible
    try:
        with_channels(np.zeros((channels, 8, 8), np.float32), taken)
    except UserError:
        assert not convertible
    else:
        assert convertible


def test_a_new_sample_is_found(samples, write):
    write("vessels/images/b.png")
    assert set(sample_images()) == {*samples, "vessels/b"}


def names(tmp_path) -> dict[str, OfferedImage]:
    return {image.name.removeprefix(f"{tmp_path.name}/"): image for image in images_in(tmp_path)}


def test_a_plain_folder_with_commas_and_subfolders(tmp_path, write):
    for path in ("a.png", "wet, night/b.png", "wet, night/b.tiff", ".hidden.png", ".git/c.png"):
        write(path)
    (tmp_path / "notes.txt").write_text("no image")
    assert set(names(tmp_path)) == {"a", "wet, night/b.png", "wet, night/b.tiff"}
    assert {image.group for image in images_in(tmp_path)} == {tmp_path.name}


@pytest.mark.parametrize("place", ["", "train/", "set/train/"])
def test_a_data_set_with_its_masks(tmp_path, write, place):
    for path in ("images/a.png", "labels/a.png", "images/b.png", "skeletons/a.png"):
        write(f"{place}{path}", 255)
    found = names(tmp_path)
    assert set(found) == {f"{place}a", f"{place}b"}
    assert found[f"{place}a"].truth == tmp_path / f"{place}labels/a.png"
    assert found[f"{place}b"].truth is None
    assert (read_truth(found[f"{place}a"]) == 1).all()


def test_a_folder_of_images_beside_its_masks(tmp_path, write):
    write("images/a.png")
    write("masks/a.png", 255)
    (found,) = images_in(tmp_path / "images")
    assert (found.name, found.truth) == ("images/a", tmp_path / "masks/a.png")


def test_masks_in_the_colours_of_a_palette_and_of_cityscapes(tmp_path, write):
    write("one/images/a.png", colour=True)
    write("one/masks/a.png", 9, colour=True)
    (tmp_path / "one/palette.json").write_text(json.dumps({"road": [0, 0, 0], "car": [9, 9, 9]}))
    write("two/images/b_leftImg8bit.png", colour=True)
    write("two/masks/b_gtFine_labelIds.png", 26)
    found = names(tmp_path)
    assert (read_truth(found["one/a"]) == 1).all()
    assert (read_truth(found["two/b_leftImg8bit"]) == 13).all()  # a car, by the train ids


def test_masks_that_come_later_are_found(tmp_path, write):
    write("images/a.png")
    assert names(tmp_path)["a"].truth is None
    write("labels/a.png")
    assert names(tmp_path)["a"].truth == tmp_path / "labels/a.png"


def test_half_a_file_is_offered_and_read_as_a_sentence(tmp_path, write):
    write("a.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    (tmp_path / "text.png").write_text("no image")
    found = names(tmp_path)
    assert found["half"].channels == 1
    assert found["text"].channels is None
    assert not found["text"].is_convertible(network(1, "any"))
    with pytest.raises(UserError, match=r"half.png is broken or cut off"):
        found["half"].load()


@pytest.mark.parametrize(
    ("name", "values", "options"),
    [
        ("grey.png", np.zeros((9, 8), np.uint8), {}),
        ("grey16.png", np.zeros((9, 8), np.uint16), {}),
        ("alpha.png", np.zeros((9, 8, 4), np.uint8), {}),
        ("grey_alpha.png", np.zeros((9, 8, 2), np.uint8), {}),
        ("grey16.tiff", np.zeros((9, 8), np.uint16), {}),
        ("colour16.tiff", np.zeros((9, 8, 3), np.uint16), {"photometric": "rgb"}),
        ("alpha.tiff", np.zeros((9, 8, 4), np.uint8), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        ("pages.tiff", np.zeros((5, 9, 8), np.float32), {"photometric": "minisblack"}),
    ],
)
def test_the_header_tells_the_channels_that_are_read(tmp_path, name, values, options):
    path = tmp_path / name
    if path.suffix == ".tiff":
        tifffile.imwrite(path, values, **options)
    else:
        Image.fromarray(values).save(path)
    (found,) = images_in(tmp_path)
    assert found.channels == load_image(path).values.shape[0]


def test_a_changed_file_is_another_image(tmp_path, write):
    write("a.png")
    (found,) = images_in(tmp_path)
    before = found.key
    os.utime(found.path, ns=(0, 0))
    assert found.key != before


def test_folders_come_before_the_samples_and_the_first_that_fits_is_opened(samples, tmp_path, write):
    write("mine/c.png", colour=True)
    write("mine/d.png")
    offered = offered_images(["--images", str(tmp_path / "mine"), "--other"])
    assert list(offered)[:2] == ["mine/c", "mine/d"]
    assert list(in_groups(offered.values(), network(1, "vessmap")))[:2] == ["mine", "vessels"]
    assert first_that_fits(offered.values(), network(1, "vessmap")).name == "mine/d"
    assert offered_images([]).keys() == samples.keys()


def test_folders_of_one_name_are_told_apart(samples, tmp_path, write):
    for path in ("day/images/a.png", "night/images/a.png"):
        write(path)
    given = [part for name in ("day", "night") for part in ("--images", str(tmp_path / name / "images"))]
    offered = offered_images(given)
    assert list(offered)[:2] == ["day/images/a", "night/images/a"]
    assert list(in_groups(offered.values(), network(1, "vessmap")))[:2] == ["day/images", "night/images"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--images"], "Name a folder of images after --images"),
        (["--images", "nowhere"], "There is no folder .*nowhere"),
        (["--images", "{empty}"], "has no image in it"),
    ],
)
def test_a_wrong_folder_is_one_sentence(tmp_path, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        offered_images([argument.format(empty=tmp_path) for argument in arguments])
