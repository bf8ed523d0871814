"""Index masks: what each encoding means, and the sentences for what means nothing."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from core.data.index_masks import (
    CITYSCAPES_CLASSES,
    CITYSCAPES_LABEL_IDS,
    IGNORED,
    MaskEncoding,
    read_index_mask,
    read_palette,
)
from core.errors import UserError

INDICES = np.arange(64).reshape(8, 8) % 3


def png(values, mode=None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8), mode).save(buffer, "PNG")
    return buffer.getvalue()


def read(source, num_classes, palette=None, label_ids=None, name=""):
    names = tuple(f"class {index}" for index in range(num_classes))
    return read_index_mask(source, MaskEncoding(names, palette, label_ids), name)


def test_plain_indices_and_ignored_pixels():
    values = np.where(np.eye(8, dtype=bool), 255, INDICES)
    mask = read(png(values), 3)
    assert mask.dtype == np.int64
    np.testing.assert_array_equal(mask, values)
    assert IGNORED == 255


def test_a_palette_pngs_indices_are_read_and_its_colours_through_a_palette():
    picture = Image.fromarray(INDICES.astype(np.uint8), "P")
    picture.putpalette([10, 0, 0, 0, 20, 0, 0, 0, 30])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    np.testing.assert_array_equal(read(buffer.getvalue(), 3), INDICES)
    swapped = {(10, 0, 0): 2, (0, 20, 0): 1, (0, 0, 30): 0}
    np.testing.assert_array_equal(read(buffer.getvalue(), 3, swapped), 2 - INDICES)


def test_colours_become_classes_and_the_alpha_channel_does_not_matter():
    colours = np.array([[128, 64, 128], [0, 0, 0], [70, 70, 70]], np.uint8)
    palette = {(128, 64, 128): 0, (70, 70, 70): 1, (0, 0, 0): IGNORED}
    rgb = colours[INDICES]
    expected = np.array([0, IGNORED, 1])[INDICES]
    np.testing.assert_array_equal(read(png(rgb), 2, palette), expected)
    with_alpha = np.concatenate([rgb, np.full((8, 8, 1), 7)], axis=2)
    np.testing.assert_array_equal(read(png(with_alpha), 2, palette), expected)


def test_cityscapes_ids_are_those_of_its_paper():
    """Read off the table of labels that the data set's authors publish: name, id, train id."""
    known = {"road": 7, "building": 11, "pole": 17, "vegetation": 21, "sky": 23, "person": 24, "car": 26, "bicycle": 33}
    for name, label in known.items():
        assert CITYSCAPES_CLASSES[CITYSCAPES_LABEL_IDS[label]] == name
    assert [CITYSCAPES_CLASSES.index(name) for name in ("road", "pole", "car", "bicycle")] == [0, 5, 13, 18]
    assert all(CITYSCAPES_LABEL_IDS[label] == IGNORED for label in (0, 3, 6, 9, 16, 18, 29, 30, 34))
    assert sorted(value for value in CITYSCAPES_LABEL_IDS.values() if value != IGNORED) == list(range(19))
    ids = np.array([7, 26, 4])[INDICES]
    np.testing.assert_array_equal(
        read(png(ids), 19, label_ids=CITYSCAPES_LABEL_IDS), np.array([0, 13, IGNORED])[INDICES]
    )


@pytest.mark.parametrize(
    ("values", "arguments", "sentence"),
    [
        (INDICES + 2, {"num_classes": 3}, r"the labels 3, 4, which are no class; the known labels are 0, 1, 2, 255"),
        (INDICES + 1, {"num_classes": 3}, r"holds the label 3, which is no class"),
        (INDICES, {"num_classes": 9, "label_ids": {0: 0, 1: 1}}, r"holds the label 2, which is no class"),
        (INDICES, {"num_classes": 2, "label_ids": {0: 0, 1: 1, 2: 5}}, r"holds the class 5; there are only 0 to 1"),
        (np.eye(3)[INDICES] * 9, {"num_classes": 3}, "is a colour picture; give the palette"),
        (np.eye(3)[INDICES] * 9, {"num_classes": 3, "palette": {(9, 0, 0): 0, (0, 9, 0): 1}}, r"colour \(0, 0, 9\)"),
    ],
)  # fmt: skip
def test_what_is_no_class_is_named(values, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        read(png(values), name="street.png", **arguments)


def test_more_unknown_labels_than_fit_are_counted():
    with pytest.raises(UserError, match=r"1, 2, 3, 4, 5, 6, 7, 8 and 55 more"):
        read(png(np.arange(64).reshape(8, 8)), 1)


def test_arguments_that_contradict_each_other():
    with pytest.raises(ValueError, match="either colours or label ids"):
        read(png(INDICES), 3, palette={}, label_ids={})
    with pytest.raises(ValueError, match="255 classes at most"):
        read(png(INDICES), 256)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("palette.json", json.dumps({"road": [128, 64, 128], "void": "#000000", "sky": "#4682b4"})),
        ("palette.txt", "# r g b name\n128 64 128 road\n0 0 0 void\n\n70 130 180\tsky\n"),
    ],
)
def test_palettes_in_json_and_text(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    encoding = read_palette(tmp_path / name)
    assert encoding.class_names == ("road", "sky")
    assert encoding.palette == {(128, 64, 128): 0, (0, 0, 0): IGNORED, (70, 130, 180): 1}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("p.json", "[1, 2", "is no palette"),
        ("p.json", "[1, 2]", "is no palette"),
        ("p.json", '{"road": [1, 2]}', r"\[1, 2\] is no colour"),
        ("p.json", '{"road": [1, 2, 300]}', "is no colour"),
        ("p.json", '{"road": "#12"}', "is no colour"),
        ("p.txt", "1 2 road", "is no palette"),
        ("p.txt", "", "names no class"),
        ("p.txt", "1 2 3 road\n1 2 3 sky", r"\(1, 2, 3\) to two classes"),
    ],
)
def test_palettes_that_make_no_sense(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_palette(tmp_path / name)


def test_a_missing_palette(tmp_path):
    with pytest.raises(UserError, match="There is no palette"):
        read_palette(tmp_path / "palette.json")
