import numpy as np
import pytest
import torch

from core import UserError
from core.attribution.baselines import make_baseline

IMAGE = np.random.default_rng(1).random((2, 30, 40), dtype=np.float32)


def test_zero_and_mean():
    assert not make_baseline(IMAGE, "zero").images.any()
    mean = make_baseline(torch.from_numpy(IMAGE), "mean").images
    assert mean.shape == (1, 2, 30, 40)
    np.testing.assert_allclose(mean[0, :, 3, 4], IMAGE.mean(axis=(1, 2)), rtol=1e-6)
    assert np.ptp(mean[0, 1]) == 0


def test_random_is_uniform_and_repeats_with_its_seed():
    first, again = (make_baseline(IMAGE, "random", draws=3, seed=5) for _ in range(2))
    assert first.images.shape == (3, 2, 30, 40)
    np.testing.assert_array_equal(first.images, again.images)
    assert first.parameters == {"draws": 3, "seed": 5}
    assert np.abs(first.images - make_baseline(IMAGE, "random", draws=3, seed=6).images).max() > 0.5
    assert abs(float(first.images.mean()) - 0.5) < 0.02
    assert abs(float(first.images.std()) - 12**-0.5) < 0.02


def test_blur_is_a_gaussian():
    """A single bright pixel becomes the outer product of two sampled Gaussians."""
    image = np.zeros((1, 41, 41), np.float32)
    image[0, 20, 20] = 1
    blurred = make_baseline(image, "blur", sigma=2.0).images[0, 0]
    offsets = np.arange(-20, 21)
    kernel = np.exp(-(offsets**2) / (2 * 2.0**2)) * (np.abs(offsets) <= 8)
    kernel /= kernel.sum()
    np.testing.assert_allclose(blurred, np.outer(kernel, kernel), atol=1e-7)
    constant = make_baseline(np.full((1, 9, 9), 0.3, np.float32), "blur", sigma=50.0).images
    np.testing.assert_allclose(constant, 0.3, rtol=1e-6)


def test_an_own_image():
    baseline = make_baseline(IMAGE, IMAGE[None] / 2)
    assert baseline.kind == "image"
    np.testing.assert_array_equal(baseline.images[0], IMAGE / 2)


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("grey", {}, "zero, mean, blur, random"),
        ("image", {}, "or an image"),
        ("blur", {"sigma": 0}, "positive"),
        ("blur", {"sigma": float("nan")}, "positive"),
        ("random", {"draws": 0}, "at least one draw"),
        (IMAGE[:, :10], {}, "2×10×40"),
        (IMAGE * np.nan, {}, "not finite"),
    ],
)
def test_what_is_no_baseline(kind, options, word):
    with pytest.raises(UserError, match=word):
        make_baseline(IMAGE, kind, **options)
