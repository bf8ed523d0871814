import numpy as np
import pytest
import torch

from core import Segmenter, Target, UserError
from core.attribution import gradient, smoothgrad
from tests.networks import NeedsMultiple, TinySeg, Wrapped

TARGET = Target.pixel(4, 4)


def _segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(Wrapped("tensor"))


def test_without_noise_it_is_the_gradient():
    image = torch.rand(3, 9, 9)
    smooth = smoothgrad(_segmenter(), image, TARGET, n_samples=3, noise=0.0)
    np.testing.assert_allclose(smooth.values, gradient(_segmenter(), image, TARGET).values, rtol=1e-5, atol=1e-9)


def test_it_is_the_mean_over_the_noisy_images():
    image = torch.rand(3, 9, 9) * 0.5
    generator = torch.Generator().manual_seed(7)
    sigma = 0.2 * float(image.max() - image.min())
    rows = [
        gradient(_segmenter(), image + sigma * torch.randn(3, 9, 9, generator=generator), TARGET).values
        for _ in range(5)
    ]
    found = smoothgrad(_segmenter(), image, TARGET, n_samples=5, noise=0.2, seed=7)
    np.testing.assert_allclose(found.values, np.mean(rows, axis=0), rtol=1e-5, atol=1e-8)


def test_batch_size_does_not_matter_and_the_seed_does():
    image = torch.rand(3, 9, 9)
    one, many = (smoothgrad(_segmenter(), image, TARGET, 6, internal_batch_size=size).values for size in (1, 6))
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-8)
    assert np.abs(one - smoothgrad(_segmenter(), image, TARGET, 6, seed=1).values).max() > 0


def test_piecewise_linear_network_far_from_its_kinks_is_not_changed_by_noise():
    segmenter = Segmenter(TinySeg(), in_channels=1)
    image = torch.full((1, 8, 8), 20.0)
    image[0, 0, 0] = 21.0
    target = Target.pixel(4, 4, 1, "logit")
    np.testing.assert_allclose(
        smoothgrad(segmenter, image, target).values, gradient(segmenter, image, target).values, atol=1e-6
    )


def test_progress_counts_and_can_stop():
    seen = []
    smoothgrad(_segmenter(), torch.rand(3, 9, 9), TARGET, 5, internal_batch_size=2, progress=lambda *a: seen.append(a))
    assert seen == [(2, 5), (4, 5), (5, 5)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smoothgrad(_segmenter(), torch.rand(3, 9, 9), TARGET, progress=stop)


def test_padded_network():
    segmenter = Segmenter(NeedsMultiple(), in_channels=1)
    assert smoothgrad(segmenter, torch.rand(1, 9, 13), TARGET, 2).values.shape == (1, 9, 13)


def test_wrong_settings():
    with pytest.raises(UserError, match="at least one sample"):
        smoothgrad(_segmenter(), torch.rand(3, 9, 9), TARGET, 0)
    with pytest.raises(UserError, match="not negative"):
        smoothgrad(_segmenter(), torch.rand(3, 9, 9), TARGET, noise=-1)
