"""Rows and columns one after another: the same numbers as the maps, and nothing that grows with the image."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from core import Segmenter, Target, UserError
from core.attribution import gradient, influence, pixel_gradients, smoothgrad
from core.attribution.pixel_gradients import PixelGradients
from core.receptive_field import learn_field
from core.target import SPACES, Score
from tests.jacobian.rows import random_image
from tests.networks import IMAGE_1_TO_9, TinySeg
from tests.receptive_field.networks import WITH_WINDOWS

SIZE = (61, 47)
PIXELS = [(0, 0), (60, 46), (30, 20), (5, 40)]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    segmenter = WITH_WINDOWS["dilated"][0]()
    segmenter.module.double()
    learn_field(segmenter, SIZE)
    return segmenter


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return random_image(1, *SIZE, seed=3)


def test_tiny_seg_by_hand():
    """Unknown field: whole maps. Pixel (1, 1) moves every active unit 0 by 1, and both logits of class 1 by hand."""
    pixels = PixelGradients(Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Score(1, "logit"))
    row = pixels.row(1, 1)
    assert row.values.tolist() == [[[-1, -1, -1], [-1, 3, -1], [-1, -1, -1]]]
    assert row[1:] == (0, 0)
    column = pixels.column(1, 1)
    assert column.values.tolist() == [[-1, -1, -1], [-1, 3, -1], [-1, -1, -1]]


def test_tiny_seg_in_the_window_of_its_field():
    segmenter = Segmenter(TinySeg(), in_channels=1)
    learn_field(segmenter, (40, 48))
    row = PixelGradients(segmenter, torch.full((1, 40, 48), 2.0), Score(1, "logit")).row(20, 0)
    # Nine pixels of 2 would make 8 of unit 0; the six at the border make 2, still active. Unit 1 is off: 4 - 6.
    assert (row.top, row.left) == (19, 0)
    assert row.values.tolist() == [[[-1, -1], [-1, -1], [-1, -1]]]


@pytest.mark.parametrize("space", SPACES)
def test_rows_and_columns_are_those_of_the_maps(segmenter, image, space):
    pixels = PixelGradients(segmenter, image, Score(1, space))
    for pixel in PIXELS:
        row, column = pixels.row(*pixel), pixels.column(*pixel)
        expected = gradient(segmenter, image, Target.pixel(*pixel, 1, space), window=False).values
        assert np.abs(row.on(SIZE) - expected).max() <= 1e-6 * np.abs(expected).max()
        assert row.values.size < image.size / 2
        assert (row.values.dtype, row.values.flags.c_contiguous) == (np.float32, True)
        expected = influence(segmenter, image, *pixel, 1, space, window=False).values[0]
        assert np.abs(column.on(SIZE) - expected).max() <= 1e-6 * np.abs(expected).max()


def test_windows_that_become_known_are_used_from_then_on(image):
    segmenter = WITH_WINDOWS["dilated"][0]()
    segmenter.name = "of its own"
    segmenter.module[0].weight.data *= 1.5  # or another test's field would be on disk
    pixels = PixelGradients(segmenter, image, Score(space="probability"))
    before = pixels.row(30, 20)
    learn_field(segmenter, SIZE)
    after = pixels.row(30, 20)
    assert before.values.shape == (1, *SIZE)
    assert after.values.shape == (1, 11, 11)
    np.testing.assert_allclose(after.on(SIZE), before.values, atol=1e-5 * np.abs(before.values).max())


@pytest.mark.parametrize("samples", [1, 4, 6])
def test_smooth_rows_are_those_of_smoothgrad(segmenter, image, samples, monkeypatch):
    pixels = PixelGradients(segmenter, image, Score(space="probability"))
    for kept in (2**26, 3 * image.nbytes):  # also where the draws are not all kept
        monkeypatch.setattr(pixel_gradients, "_KEPT_BYTES", kept)
        pixel_gradients._kept_noise.cache_clear()
        for _ in range(2):
            found = pixels.smooth_row(30, 20, samples, seed=5)
            for window in (True, False):
                expected = smoothgrad(segmenter, image, Target.pixel(30, 20), samples, seed=5, window=window).values
                assert np.abs(found.on(SIZE) - expected).max() <= 1e-6 * np.abs(expected).max()
    pixel_gradients._kept_noise.cache_clear()


def test_nothing_is_hashed_or_checked_again_for_a_pixel(segmenter, image, monkeypatch):
    pixels = PixelGradients(segmenter, image, Score(space="probability"))
    pixels.smooth_row(0, 0, 2)

    def refuse(*_: object) -> None:
        raise AssertionError("not for every pixel")

    monkeypatch.setattr(Segmenter, "weights_hash", property(refuse))
    monkeypatch.setattr(Segmenter, "as_batch", refuse)
    monkeypatch.setattr(torch, "randn", refuse)
    pixels.row(30, 20)
    pixels.column(30, 20)
    pixels.smooth_row(30, 20, 2)


def test_threads_share_one(segmenter, image):
    pixels = PixelGradients(segmenter, image, Score(space="probability"))
    asked = [(row, column) for row in range(0, 61, 12) for column in range(0, 47, 9)]

    def maps(pixel: tuple[int, int]) -> list[np.ndarray]:
        return [pixels.row(*pixel).values, pixels.column(*pixel).values, pixels.smooth_row(*pixel, 2).values]

    expected = [maps(pixel) for pixel in asked]
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(maps, asked), expected, strict=True):
            for one, other in zip(found, alone, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6 * np.abs(other).max())


def test_errors(segmenter, image):
    with pytest.raises(UserError, match="no class 2"):
        PixelGradients(segmenter, image, Score(2))
    pixels = PixelGradients(segmenter, image, Score(space="probability"))
    with pytest.raises(UserError, match="outside the image"):
        pixels.row(61, 0)
    with pytest.raises(UserError, match="at least one sample"):
        pixels.smooth_row(0, 0, 0)
