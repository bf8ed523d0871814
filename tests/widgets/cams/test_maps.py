"""Scales, thumbnails and differences of class activation maps, on maps written by hand."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from core import Target
from core.attribution import Attribution
from core.display.colours import magnitude_scale, signed_scale
from core.models.layers import Layer
from widgets.cams.layers import main_layers
from widgets.cams.maps import (
    MapView,
    atlas_sprite,
    normalised_difference,
    scale_of,
    share_inside,
    thumbnail,
    thumbnail_size,
)
from widgets.shared.layer_picker import size_and_stride

SIZE = (4, 8)


def attribution(values, layer="a", method="layer_cam") -> Attribution:
    array = np.asarray(values, np.float32)[None]
    place = {"layer": layer, "padded_size": SIZE}
    return Attribution(array, Target.pixel(0, 0), method, {}, SIZE, 0.0, "logit", "", "", **place)


def atlas(*maps: Attribution) -> dict:
    return {(one.layer, one.method): one for one in maps}


SMALL = attribution([[1, -8], [2, 0]], "a", "layer_cam")
LARGE = attribution([[4, 0], [0, -1]], "b", "layer_cam")
OTHER = attribution([[100, 0], [0, 0]], "a", "seg_grad_cam")


@pytest.mark.parametrize(
    ("positive", "scale", "expected"),
    [(True, "own", 2), (True, "method", 4), (True, "all", 100), (False, "own", 8), (False, "method", 8)],
)
def test_the_colour_scale_ends_at_the_largest_value_of_its_company(positive, scale, expected):
    maps = atlas(SMALL, LARGE, OTHER)
    assert scale_of(SMALL, maps, MapView(positive, scale, 1.0)).high == expected
    assert scale_of(SMALL, maps, MapView(positive, scale, 1.0, 0.5)).high == expected / 2


def test_a_map_below_zero_has_a_scale_all_the_same():
    below = attribution([[-1, -2], [-3, -4]])
    assert scale_of(below, atlas(below), MapView(positive=True, scale="own", opacity=1.0)).high == 1


def test_difference_of_maps_each_divided_by_its_largest_magnitude():
    first, second = attribution(np.eye(*SIZE) * 5), attribution(np.eye(*SIZE) * -2)
    np.testing.assert_allclose(normalised_difference(first, second, positive=False), 2 * np.eye(*SIZE))
    np.testing.assert_allclose(normalised_difference(first, second, positive=True), np.eye(*SIZE))
    np.testing.assert_allclose(normalised_difference(first, first, positive=False), 0)


def test_share_of_the_positive_map_inside_a_mask():
    mask = np.zeros(SIZE, dtype=bool)
    mask[0] = True
    values = np.zeros(SIZE)
    values[0, 0], values[2, 1], values[3, 3] = 1, 3, -50
    assert share_inside(attribution(values), mask) == pytest.approx(0.25)
    assert np.isnan(share_inside(attribution(-np.ones(SIZE)), mask))


def test_a_thumbnail_keeps_the_shape_of_the_image_and_the_place_of_the_map():
    assert thumbnail_size(SIZE) == (48, 96)
    found = thumbnail(attribution([[0, 1], [0, 0]]), magnitude_scale(1.0))
    assert found.shape == (48, 96, 3)
    assert found[0, -1].tolist() == magnitude_scale(1.0).rgb(np.ones((1, 1)))[0, 0].tolist()
    assert found[-1, 0].tolist() == magnitude_scale(1.0).rgb(np.zeros((1, 1)))[0, 0].tolist()


def test_a_thumbnail_leaves_out_the_padding_of_the_image():
    padded = dataclasses.replace(attribution([[0, 1], [1, 1]]), padded_size=(8, 16))
    found = thumbnail(padded, signed_scale(1.0))
    assert found[0, 0].tolist() == signed_scale(1.0).rgb(np.zeros((1, 1)))[0, 0].tolist()


def test_the_sprite_holds_every_thumbnail_in_its_place():
    maps = atlas(SMALL, LARGE, OTHER, attribution([[0, 0], [0, 7]], "b", "seg_grad_cam"))
    methods, layers = ("layer_cam", "seg_grad_cam"), ("a", "b")
    for positive in (True, False):
        view = MapView(positive, "own", 1.0)
        content = atlas_sprite(maps, layers, methods, view)
        sprite = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        assert sprite.shape == (96, 192, 3)
        for row, method in enumerate(methods):
            for column, layer in enumerate(layers):
                cell = sprite[48 * row : 48 * (row + 1), 96 * column : 96 * (column + 1)]
                one = maps[layer, method]
                expected = thumbnail(one, scale_of(one, maps, view))
                np.testing.assert_array_equal(cell, expected)


def layer(name: str, size: int) -> Layer:
    return Layer(name, "Conv2d", 4, size, size, (64 / size, 64 / size))


NETWORK = [
    layer("stem", 64), layer("block1.conv", 32), layer("block1", 32), layer("block2.conv", 16), layer("block2", 16),
    layer("up.conv", 32), layer("up", 32), layer("out", 64), layer("head", 64),
]  # fmt: skip


def test_the_first_layers_are_the_last_block_of_each_resolution_and_no_head():
    assert main_layers(NETWORK, "block2", {"head"}) == ["stem", "block1", "block2", "up", "out"]


def test_few_layers_of_many_hold_the_suggested_one():
    assert main_layers(NETWORK, "block1.conv", {"head"}) == ["stem", "block1.conv", "block2", "up", "out"]
    assert main_layers(NETWORK, "block1.conv", {"head"}, most=3) == ["block1.conv", "block2", "out"]
    many = [layer(f"part{index}", 64 - index) for index in range(40)]
    chosen = main_layers(many, "part17")
    assert len(chosen) == 12
    assert {"part0", "part17", "part39"} <= set(chosen)


def test_size_and_stride_in_words():
    assert size_and_stride(layer("a", 16)) == ("16×16", "stride 4")
    assert size_and_stride(Layer("a", "Conv2d", 4, 16, 8, (2.0, 8.0))) == ("16×8", "stride 2×8")
