import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from hypothesis import given, settings
from hypothesis import strategies as st

from core import Segmenter, Target, UserError
from core.attribution import occlusion
from core.attribution.baselines import make_baseline
from core.attribution.occlusion import number_of_patches
from tests.networks import IMAGE_1_TO_9, NeedsMultiple, OneChannel, TinySeg, Wrapped

MASK = np.zeros((3, 3), dtype=bool)
MASK[1, 1] = MASK[2, 2] = True


def _segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(Wrapped("tensor"), mean=0.4, std=0.2)


def test_tiny_seg_pixel_by_pixel():
    found = occlusion(Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Target.region(MASK, 1), 1, fill="zero")
    assert found.values.tolist() == [[[-1, -2, -3], [-4, -2, -12], [-7, -16, 6]]]
    assert found.unit == "logit"
    assert found.measured["score"] == -21
    assert found.measured["patches"] == 9


def test_patches_are_cut_at_the_edge_and_overlaps_averaged():
    # Of a score that is Σ 3 · image - 1, a patch's drop is 3 Σ image over it.
    segmenter = Segmenter(OneChannel(), in_channels=1)
    target = Target.region(np.ones((3, 3)), 1)
    cut = occlusion(segmenter, IMAGE_1_TO_9, target, 2, fill="zero").values[0]
    np.testing.assert_allclose(cut, 3 * np.array([[12, 12, 9], [12, 12, 9], [15, 15, 9]]), rtol=1e-6)
    over = occlusion(segmenter, IMAGE_1_TO_9, target, 2, 1, fill="zero").values[0]
    sums = 3 * np.array([[12, 16], [24, 28]])
    np.testing.assert_allclose(over[0], [sums[0, 0], sums[0].mean(), sums[0, 1]], rtol=1e-6)
    np.testing.assert_allclose(over[1, 1], sums.mean(), rtol=1e-6)
    whole = occlusion(segmenter, IMAGE_1_TO_9, target, 16, fill="zero").values[0]
    np.testing.assert_allclose(whole, 3 * 45, rtol=1e-6)


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (4, 4), (5, 3), (4, 1), (7, 5)])
@pytest.mark.parametrize("space", ["logit", "probability"])
def test_captum_agrees(patch, stride, space):
    segmenter = _segmenter()
    image = torch.rand(3, 14, 11, generator=torch.Generator().manual_seed(1))
    target = Target.region(np.eye(14, 11), 2, space)
    fill = make_baseline(image, "mean").images[0]
    expected = Occlusion(lambda images: target(segmenter.logits(images))).attribute(
        image[None], (3, patch, patch), (3, stride, stride), baselines=torch.from_numpy(fill)[None]
    )
    found = occlusion(segmenter, image, target, patch, stride)
    for channel in expected[0]:
        np.testing.assert_allclose(found.values[0], channel, atol=1e-5)


def test_batch_size_does_not_matter_and_nothing_is_changed():
    segmenter, image = _segmenter(), torch.rand(3, 20, 17)
    before, target = image.clone(), Target.pixel(8, 8)
    one, many, free = (
        occlusion(segmenter, image, target, 6, 4, internal_batch_size=size).values for size in (1, 7, None)
    )
    np.testing.assert_allclose(one, many, atol=1e-6)
    np.testing.assert_allclose(one, free, atol=1e-6)
    assert torch.equal(image, before)
    assert all(parameter.grad is None for parameter in segmenter.module.parameters())


def test_fills():
    segmenter, image, target = _segmenter(), torch.rand(3, 9, 9), Target.pixel(4, 4)
    np.testing.assert_allclose(occlusion(segmenter, image, target, 3, fill=image).values, 0, atol=1e-6)
    zero = occlusion(segmenter, image, target, 3, fill="zero")
    given_zero = occlusion(segmenter, image, target, 3, fill=torch.zeros(3, 9, 9))
    np.testing.assert_array_equal(zero.values, given_zero.values)
    assert "fill_sha256" in given_zero.parameters
    assert occlusion(segmenter, image, target, 3, fill="blur", sigma=2.0).parameters["sigma"] == 2.0
    random = [occlusion(segmenter, image, target, 3, fill="random", seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(random[0].values, random[1].values)
    assert np.abs(random[0].values - random[2].values).max() > 0
    assert random[2].parameters == {"patch": 3, "stride": 3, "fill": "random", "seed": 1}


def test_far_patches_do_nothing():
    found = occlusion(_segmenter(), torch.rand(3, 32, 32), Target.pixel(4, 4), 8).values[0]
    assert found[:8, :8].all()
    np.testing.assert_allclose(found[8:], 0, atol=1e-6)


def test_padded_network_and_empty_region():
    segmenter, image = Segmenter(NeedsMultiple(), in_channels=1), torch.rand(1, 9, 13)
    found = occlusion(segmenter, image, Target.region(np.zeros((9, 13)), 1), 4)
    assert found.values.shape == (1, 9, 13)
    assert not found.values.any()
    assert found.image_size == segmenter.predict(image).labels.shape


def test_progress_counts_and_can_stop():
    seen = []
    image, target = torch.rand(3, 9, 9), Target.pixel(4, 4)
    occlusion(_segmenter(), image, target, 3, internal_batch_size=4, progress=lambda *a: seen.append(a))
    assert seen == [(4, 9), (8, 9), (9, 9)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        occlusion(_segmenter(), image, target, 3, progress=stop)


def test_batches_shrink_when_memory_runs_out():
    segmenter, image = _segmenter(), torch.rand(3, 9, 9)
    runs = []

    def full(_: object, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError
        runs.append(len(inputs[0]))

    expected = occlusion(segmenter, image, Target.pixel(4, 4), 3).values
    segmenter.module.register_forward_pre_hook(full)
    found = occlusion(segmenter, image, Target.pixel(4, 4), 3, internal_batch_size=8)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert found.measured["batch_size"] == 2
    assert runs[-5:] == [2, 2, 2, 2, 1]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.data())
@settings(max_examples=50, deadline=None)
def test_every_pixel_is_covered(height, width, patch, data):
    stride = data.draw(st.integers(1, patch))
    found = occlusion(
        Segmenter(OneChannel(), in_channels=1, size_multiple=1),
        torch.ones(1, height, width),
        Target.region(np.ones((height, width)), 1),
        patch,
        stride,
        "zero",
    )
    assert np.isfinite(found.values).all()
    assert found.values.min() > 0
    assert found.measured["patches"] == number_of_patches((height, width), patch, stride)


def test_wrong_settings():
    segmenter, image, target = _segmenter(), torch.rand(3, 9, 9), Target.pixel(4, 4)
    with pytest.raises(UserError, match="at least one pixel"):
        occlusion(segmenter, image, target, 0)
    for stride in (0, 4):
        with pytest.raises(UserError, match="every pixel is covered"):
            occlusion(segmenter, image, target, 3, stride)
    with pytest.raises(UserError, match="at least one image"):
        occlusion(segmenter, image, target, 3, internal_batch_size=0)
    with pytest.raises(UserError, match="one size"):
        occlusion(segmenter, image, target, 3, fill=torch.zeros(3, 4, 4))
    with pytest.raises(UserError, match="no class 9"):
        occlusion(segmenter, image, Target.pixel(0, 0, 9), 3)
