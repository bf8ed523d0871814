import io

import numpy as np
import pytest
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from core.display.colours import (
    DIVERGING,
    SEQUENTIAL,
    ColourScale,
    blend,
    class_colour,
    colour_limit,
    intensity_rgb,
    labels_over,
    magnitude_scale,
    png_bytes,
    signed_scale,
)  # fmt: skip


def test_diverging_is_symmetric_and_white_at_zero():
    values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]])
    fitting = signed_scale(colour_limit(values)).rgb(values)
    colours = fitting[0].astype(int)
    assert colours[2].min() > 240
    assert colours[0][2] > colours[0][0]
    assert colours[4][0] > colours[4][2]
    beyond = signed_scale(1.0).rgb(values)
    np.testing.assert_array_equal(beyond[0, 4], beyond[0, 3])
    np.testing.assert_array_equal(signed_scale(colour_limit(values * 7)).rgb(values * 7), fitting)


@pytest.mark.parametrize("name", [DIVERGING, SEQUENTIAL])
def test_the_colours_are_those_that_plotly_has_under_the_same_name(name):
    """Figures name the scale to Plotly; pictures are coloured here."""
    places = np.linspace(0, 1, 255)
    expected = np.array([unlabel_rgb(colour) for colour in sample_colorscale(name, list(places))]).round()
    low = -1.0 if name == DIVERGING else 0.0
    values = low + (1.0 - low) * places
    np.testing.assert_array_equal(ColourScale(low, 1.0, name).rgb(values[None])[0], expected)


def test_sequential_rises_in_lightness():
    colours = magnitude_scale(1.0).rgb(np.linspace(0, 1, 20)[None])[0].astype(float)
    lightness = colours @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0).all()


def test_maps_of_zeros_do_not_divide_by_zero():
    zeros = np.zeros((2, 2))
    assert colour_limit(zeros) == 1
    assert signed_scale(colour_limit(zeros)).rgb(zeros).min() > 240
    assert magnitude_scale(colour_limit(zeros)).rgb(zeros).std(axis=(0, 1)).max() == 0


def test_a_scale_between_two_limits_has_its_ends_there():
    scale = ColourScale(-9.0, 4.0, SEQUENTIAL)
    np.testing.assert_array_equal(scale.rgb(np.array([[-9.0, 4.0]])), magnitude_scale(1.0).rgb(np.array([[0.0, 1.0]])))


def test_maps_share_the_limit_of_the_largest():
    small, large = np.array([1.0, -2.0, np.nan]), np.array([0.0] * 98 + [3.0, -50.0])
    assert colour_limit(small, large) == 50
    assert colour_limit(small, large, proportion=0.5) == 25
    assert colour_limit(small, large, percentile=50) == 1.5  # that of the first: half of the second is 0
    assert colour_limit(large, percentile=50) == 50
    assert colour_limit(np.array([np.nan])) == colour_limit(np.array([])) == 1


def test_a_map_over_a_picture_is_as_opaque_as_it_is_strong():
    base, values = np.full((1, 3, 3), 100, np.uint8), np.array([[0.0, 2.0, -8.0]])
    scale = signed_scale(4.0)
    assert scale.strength(values).tolist() == [[0, 0.5, 1]]
    over = scale.over(base, values, scale.strength(values))
    assert over[0, 0].tolist() == [100] * 3
    assert over[0, 2].tolist() == scale.rgb(values)[0, 2].tolist()
    np.testing.assert_array_equal(over[0, 1], np.round(50 + scale.rgb(values)[0, 1] / 2).astype(np.uint8))


def test_intensity():
    assert intensity_rgb(np.full((1, 2, 2), 0.5))[0, 0].tolist() == [128, 128, 128]
    assert intensity_rgb(np.array([1.0, 0.0, 0.2]).reshape(3, 1, 1))[0, 0].tolist() == [255, 0, 51]
    assert intensity_rgb(np.array([1.0, 0, 0, 0, 0]).reshape(5, 1, 1))[0, 0].tolist() == [51, 51, 51]


def test_overlays_leave_the_rest_alone():
    base = np.full((2, 2, 3), 100, np.uint8)
    labels = np.array([[0, 1], [2, 40]])
    over = labels_over(base, labels, 1.0)
    assert over[0, 0].tolist() == [100, 100, 100]
    assert tuple(over[0, 1]) == class_colour(1)
    assert class_colour(40) != class_colour(0)
    assert (labels_over(base, labels, 0.0) == base).all()
    assert blend(base, (200, 0, 100), 0.5)[0, 0].tolist() == [150, 50, 100]


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(picture)))), picture)
