import io

import numpy as np
from PIL import Image

from core.display.colours import (
    blend,
    class_colour,
    diverging_rgb,
    intensity_rgb,
    labels_over,
    png_bytes,
    sequential_rgb,
    signed_over,
)  # fmt: skip


def test_diverging_is_symmetric_and_white_at_zero():
    values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]])
    colours = diverging_rgb(values)[0].astype(int)
    assert colours[2].min() > 240
    assert colours[0][2] > colours[0][0]
    assert colours[4][0] > colours[4][2]
    np.testing.assert_array_equal(diverging_rgb(values, 1.0)[0, 4], diverging_rgb(values, 1.0)[0, 3])
    np.testing.assert_array_equal(diverging_rgb(values * 7), diverging_rgb(values))


def test_sequential_rises_in_lightness():
    colours = sequential_rgb(np.linspace(0, 1, 20)[None])[0].astype(float)
    lightness = colours @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > 0).all()


def test_maps_of_zeros_do_not_divide_by_zero():
    assert diverging_rgb(np.zeros((2, 2))).min() > 240
    assert sequential_rgb(np.zeros((2, 2))).std(axis=(0, 1)).max() == 0


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
    signed = signed_over(base, np.array([[1.0, -1], [1, -1]]), np.array([[True, True], [False, False]]))
    assert signed[0, 0, 0] > signed[0, 0, 2]
    assert signed[0, 1, 2] > signed[0, 1, 0]
    assert (signed[1] == 100).all()


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(picture)))), picture)
