"""Gradients on windows against the same gradients of the whole image, by torch alone."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Self

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core import Segmenter, Target, UserError
from core.attribution import gradient, influence, smoothgrad
from core.receptive_field import known_field, learn_field
from core.receptive_field.files import _checksum, field_file
from core.receptive_field.known import known_windows
from core.target import SPACES, class_scores
from tests.jacobian.rows import random_image
from tests.receptive_field.networks import WITH_WINDOWS, WITHOUT_WINDOWS

NAMES = st.sampled_from(sorted(WITH_WINDOWS))
FRACTIONS = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    """Networks this small lose more to threads than they win."""


@cache
def learned(name: str) -> tuple[Segmenter, np.ndarray]:
    """A network in float64, for two runs in float32 may round differently at a ReLU's kink, and an image."""
    make, size = (WITH_WINDOWS | WITHOUT_WINDOWS)[name]
    segmenter = make()
    segmenter.module.double()
    learn_field(segmenter, size)
    return segmenter, random_image(segmenter.in_channels, *size, seed=3)


def pixel_at(image: np.ndarray, down: float, right: float) -> tuple[int, int]:
    return round(down * (image.shape[1] - 1)), round(right * (image.shape[2] - 1))


def row_by_torch(segmenter: Segmenter, image: np.ndarray, target: Target) -> np.ndarray:
    images = torch.from_numpy(image)[None].requires_grad_()
    return torch.autograd.grad(target(segmenter.unchecked_logits(images)).sum(), images)[0][0].numpy()


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


class Areas(list):
    """The areas (height, width) that a network ran on while this context lasts."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def __enter__(self) -> Self:
        def note(_, inputs):
            self.append(inputs[0].shape[-2] * inputs[0].shape[-1])

        self._hook = self._segmenter.module.register_forward_pre_hook(note)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


@settings(max_examples=40)
@given(NAMES, FRACTIONS, FRACTIONS, st.sampled_from(SPACES))
def test_every_row_equals_that_of_the_whole_image(name, down, right, space):
    segmenter, image = learned(name)
    target = Target.pixel(*pixel_at(image, down, right), 1, space)
    assert_equal(gradient(segmenter, image, target).values, row_by_torch(segmenter, image, target))


@settings(max_examples=40)
@given(NAMES, FRACTIONS, FRACTIONS, st.sampled_from(SPACES))
def test_every_column_equals_that_of_the_whole_image(name, down, right, space):
    segmenter, image = learned(name)
    row, column = pixel_at(image, down, right)
    found = influence(segmenter, image, row, column, 1, space, channel=0).values[0]
    images, tangent = torch.from_numpy(image)[None], torch.zeros(1, *image.shape)
    tangent[0, 0, row, column] = 1
    expected = torch.func.jvp(
        lambda images: class_scores(segmenter.unchecked_logits(images), 1, space), (images,), (tangent,)
    )[1]
    assert_equal(found, expected[0].numpy())


@settings(max_examples=20)
@given(NAMES, FRACTIONS, FRACTIONS, st.sampled_from(["sum", "mean"]), st.booleans())
def test_a_small_region_equals_that_of_the_whole_image(name, down, right, reduction, of_prediction):
    segmenter, image = learned(name)
    row, column = pixel_at(image, down, right)
    mask = np.zeros(image.shape[1:], np.float32)
    mask[max(row - 1, 0) : row + 2, max(column - 2, 0) : column + 1] = 0.5
    mask[row, column] = 2
    if of_prediction:
        labels = np.random.default_rng(0).integers(0, 2, mask.shape)
        target = Target.prediction(labels, "probability", reduction, mask)
    else:
        target = Target.region(mask, 1, "log_odds", reduction)
    gradient(segmenter, image, target)  # the first one of a network proves its windows
    with Areas(segmenter) as areas:
        found = gradient(segmenter, image, target).values
    assert_equal(found, row_by_torch(segmenter, image, target))
    assert len(areas) == 1


@settings(max_examples=15)
@given(NAMES, FRACTIONS, FRACTIONS, st.integers(0, 3))
def test_smoothgrad_equals_that_of_the_whole_image(name, down, right, seed):
    segmenter, image = learned(name)
    target = Target.pixel(*pixel_at(image, down, right))
    found, expected = (
        smoothgrad(segmenter, image, target, 3, seed=seed, internal_batch_size=2, window=window).values
        for window in (True, False)
    )
    assert_equal(found, expected)


@pytest.mark.parametrize("name", WITH_WINDOWS)
def test_windows_are_smaller_than_the_image_and_are_used(name):
    segmenter, image = learned(name)
    canvas = segmenter.canvas(*image.shape[1:])
    for explain in (gradient, smoothgrad):
        with Areas(segmenter) as areas:
            explain(segmenter, image, Target.pixel(0, 0))
        assert max(areas) <= 0.8 * canvas.height * canvas.width
    with Areas(segmenter) as areas:
        gradient(segmenter, image, Target.pixel(0, 0), window=False)
    assert areas == [canvas.height * canvas.width]


@pytest.mark.parametrize("name", ["dilated", "transposed", "padded to a multiple", "without padding"])
def test_windows_of_columns_are_used(name):
    segmenter, image = learned(name)
    influence(segmenter, image, 0, 0)  # the ways to compute it are compared once
    with Areas(segmenter) as areas:
        influence(segmenter, image, 0, 0)
    canvas = segmenter.canvas(*image.shape[1:])
    assert max(areas) <= 0.8 * canvas.height * canvas.width


@pytest.mark.parametrize("name", WITHOUT_WINDOWS)
def test_the_whole_image_where_windows_are_not_right(name):
    segmenter, image = learned(name)
    for row, column in ((0, 0), (image.shape[1] - 1, image.shape[2] - 1), (20, 30)):
        target = Target.pixel(row, column)
        with Areas(segmenter) as areas:
            found = gradient(segmenter, image, target).values
        assert_equal(found, row_by_torch(segmenter, image, target))
        assert areas == [image[0].size]


def test_the_whole_image_as_long_as_the_field_is_not_known():
    make, size = WITH_WINDOWS["dilated"]
    segmenter = make()
    with Areas(segmenter) as areas:
        gradient(segmenter, random_image(1, *size), Target.pixel(0, 0))
    assert size[0] * size[1] in areas
    assert known_windows(segmenter, size) is None


def test_an_empty_region_is_zero():
    segmenter, image = learned("dilated")
    assert not gradient(segmenter, image, Target.region(np.zeros(image.shape[1:]), 1)).values.any()


def test_wrong_targets_are_refused_with_the_whole_images_size():
    segmenter, image = learned("dilated")
    with pytest.raises(UserError, match="outside the image of 61 rows and 47 columns"):
        gradient(segmenter, image, Target.pixel(61, 0))
    with pytest.raises(UserError, match="no class 2"):
        gradient(segmenter, image, Target.pixel(0, 0, 2))
    with pytest.raises(UserError, match="the image 61×47"):
        gradient(segmenter, image, Target.region(np.ones((47, 61)), 1))


def test_values_that_are_not_finite_in_a_window_are_an_error():
    segmenter, image = WITH_WINDOWS["dilated"][0](), learned("dilated")[1]
    learn_field(segmenter, image.shape[1:])
    segmenter.module[0].bias.data[0] = torch.inf
    for explain in (gradient, smoothgrad):
        with pytest.raises(UserError, match="values that are not finite"):
            explain(segmenter, image, Target.pixel(30, 20))
    with pytest.raises(UserError, match="values that are not finite"):
        influence(segmenter, image, 30, 20)


class TestFromDisk:
    """A field from disk is compared with the whole image before it is used."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WHYPIXEL_CACHE", str(tmp_path))

    @staticmethod
    def _stored(name: str = "dilated", **changes: object) -> tuple[Segmenter, np.ndarray]:
        """A network whose field is on disk, with changes that its checksum covers, and an image."""
        make, size = (WITH_WINDOWS | WITHOUT_WINDOWS)[name]
        learn_field(make(), size)
        segmenter = make()
        file = field_file(segmenter.weights_hash, size)
        content = json.loads(file.read_bytes()) | changes
        del content["checksum"]
        file.write_text(json.dumps(content | {"checksum": _checksum(content)}))
        assert known_field(segmenter, size) is not None
        return segmenter, random_image(segmenter.in_channels, *size)

    @pytest.mark.parametrize("explain", [gradient, smoothgrad, lambda s, i, t: influence(s, i, t.row, t.column)])
    def test_a_right_one_is_confirmed_by_the_first_map_and_then_used(self, explain):
        segmenter, image = self._stored()
        with Areas(segmenter) as areas:
            explain(segmenter, image, Target.pixel(9, 9))
        assert image[0].size in areas
        with Areas(segmenter) as areas:
            explain(segmenter, image, Target.pixel(40, 9))
        assert max(areas) < image[0].size

    def test_a_saturated_probability_confirms_as_well(self):
        segmenter, image = self._stored()
        segmenter.module[2].weight.data *= 100
        gradient(segmenter, image, Target.pixel(9, 9))
        assert known_windows(segmenter, image.shape[1:]).confirmed

    def test_one_that_is_too_small_is_found_out_and_learned_anew(self):
        positions = [list(range(length)) for length in (61, 47)]
        rows, columns = ({"first": each, "last": each} for each in positions)
        segmenter, image = self._stored(rows=rows, columns=columns)
        target = Target.pixel(30, 20)
        for _ in range(2):
            np.testing.assert_array_equal(
                gradient(segmenter, image, target).values, gradient(segmenter, image, target, window=False).values
            )
        assert known_field(segmenter, image.shape[1:]) is None
        assert learn_field(segmenter, image.shape[1:]).up == 5

    @pytest.mark.parametrize("name", ["position", "aligned corners"])
    def test_windows_that_are_not_right_are_found_out(self, name):
        segmenter, image = self._stored(name, alignment=16)
        target = Target.pixel(40, 30)
        assert known_windows(segmenter, image.shape[1:]).windows is not None
        np.testing.assert_array_equal(
            gradient(segmenter, image, target).values, gradient(segmenter, image, target, window=False).values
        )
        assert known_windows(segmenter, image.shape[1:]) is None


class Picky(torch.nn.Module):
    """It takes no image lower than 24 rows, once it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.lowest = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[-2] < self.lowest:
            raise RuntimeError("too low")
        return torch.tanh(self.encode(images))


def test_a_window_that_the_network_refuses_leads_to_the_whole_image():
    segmenter, image = Segmenter(Picky(), in_channels=1), random_image(1, 64, 48)
    learn_field(segmenter, (64, 48))
    segmenter.module.lowest = 24
    target = Target.pixel(30, 30)
    for _ in range(2):
        assert_equal(gradient(segmenter, image, target).values, row_by_torch(segmenter, image, target))


def test_columns_in_several_threads_at_once_are_those_of_one():
    segmenter, image = learned("dilated")
    pixels = [(row, column) for row in range(3, 60, 9) for column in range(3, 46, 9)]
    expected = [influence(segmenter, image, *pixel).values for pixel in pixels]
    together = threading.Barrier(4)

    def columns(_: int) -> list[np.ndarray]:
        together.wait()
        return [influence(segmenter, image, *pixel).values for pixel in pixels]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(columns, range(4)):
            np.testing.assert_array_equal(found, expected)
