"""Scales and differences of class activation maps, on maps written by hand."""

import numpy as np
import pytest

from core import Target
from core.attribution import Attribution
from core.models.layers import Layer
from widgets.cams.layers import main_layers
from widgets.cams.maps import draw, ends_by_scale, normalised_difference, peaks_of, share_inside
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
    ("kind", "scale", "expected"),
    [
        ("positive", "own", 2), ("positive", "method", 4), ("positive", "all", 100), ("signed", "own", 8),
        ("signed", "method", 8), ("signed", "all", 100),
    ],
)  # fmt: skip
def test_the_colours_end_at_the_largest_value_of_the_map_of_its_method_or_of_all(kind, scale, expected):
    peaks = {place: peaks_of(one) for place, one in atlas(SMALL, LARGE, OTHER).items()}
    assert ends_by_scale(SMALL, peaks)[kind][scale] == expected


def test_a_map_that_is_not_of_the_atlas_counts_too():
    beyond = attribution([[0, 7], [0, 0]], "a", "score_cam")
    peaks = {place: peaks_of(one) for place, one in atlas(SMALL, LARGE).items()}
    assert ends_by_scale(beyond, peaks)["positive"] == {"own": 7, "method": 7, "all": 7}
    assert ends_by_scale(beyond, peaks)["signed"] == {"own": 7, "method": 7, "all": 8}


def test_a_map_below_zero_has_a_positive_scale_that_ends_at_1():
    below = attribution([[-1, -2], [-3, -4]])
    assert ends_by_scale(below, {})["positive"]["own"] == 1
    assert ends_by_scale(below, {})["signed"]["own"] == 4


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


def test_the_map_that_is_drawn_is_at_the_size_of_the_image():
    drawn = draw(SMALL, None, {})
    assert drawn.title == "LayerCAM at a"
    assert {kind: values.shape for kind, values in drawn.maps.items()} == {"positive": SIZE, "signed": SIZE}
    # ReLU comes before the map is resized: the -8 beside the 1 must not lower it.
    assert drawn.maps["positive"][0, 2] > drawn.maps["signed"][0, 2]
    assert drawn.maps["positive"].min() == 0
    assert drawn.ends["signed"]["own"] == 8


def test_a_difference_has_one_scale_for_all():
    drawn = draw(SMALL, OTHER, {})
    assert drawn.is_difference
    assert drawn.title == "LayerCAM − Seg-Grad-CAM"
    np.testing.assert_array_equal(drawn.maps["positive"], normalised_difference(SMALL, OTHER, positive=True))
    assert set(drawn.ends["positive"].values()) == {1.0}


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
