"""The names that published data sets use."""

import numpy as np
import pytest
from PIL import Image

from core.data.data_sets import find_pairs, find_split, mask_beside, read_pair
from core.errors import UserError


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(path)


@pytest.mark.parametrize(
    ("folders", "image", "mask"),
    [
        (("images", "masks"), "{}.png", "{}_mask.png"),
        (("images", "labels"), "{}.jpg", "{}_manual1.tif"),
        (("images", "masks"), "{}_training.tif", "{}_manual1.png"),
        (("images", "masks"), "img_{}_mask.png", "img_{}_mask.png"),
        (("imagesTr", "labelsTr"), "{}_0000.png", "{}.png"),
        (("imagesTr", "labelsTr"), "{}.png", "{}.png"),
    ],
)
def test_endings_of_names_do_not_keep_pairs_apart(tmp_path, folders, image, mask):
    for number in ("21", "3"):
        write(tmp_path / folders[0] / image.format(number))
        write(tmp_path / folders[1] / mask.format(number))
    (tmp_path / folders[0] / "notes.txt").write_text("no image")
    pairs = find_pairs(tmp_path)
    assert {(pair.image.name, pair.mask.name) for pair in pairs} == {
        (image.format(number), mask.format(number)) for number in ("3", "21")
    }
    assert read_pair(pairs[0]).mask.shape == (8, 9)
    for pair in pairs:
        assert mask_beside(pair.image) == pair.mask


def test_a_divided_data_set_may_use_any_of_these_names(tmp_path):
    for part in ("train", "val"):
        write(tmp_path / part / "images" / f"{part}.png")
        write(tmp_path / part / "masks" / f"{part}_seg.png")
    split = find_split(tmp_path)
    assert [pair.stem for pair in (*split.training, *split.validation)] == ["train", "val"]


def test_two_masks_that_differ_by_their_ending_alone_are_refused(tmp_path):
    for stem in ("a", "b", "c"):
        write(tmp_path / "images" / f"{stem}.png")
        write(tmp_path / "masks" / f"{stem}_mask.png")
    write(tmp_path / "masks" / "a.png")
    with pytest.raises(UserError, match=r"two files called a \(a\.png and a_mask\.png\)"):
        find_pairs(tmp_path)
