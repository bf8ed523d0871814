"""Known answers: the gradient must pass; guided backpropagation and an edge detector must fail (Adebayo et al.)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from core import Segmenter, Target, UserError, load_segmenter, read_image
from core.attribution import gradient
from core.attribution.registry import importance
from core.models import UNet
from core.trust.randomisation import layers_from_the_top
from core.trust.sanity import data_check, likeness, sanity_check
from phantoms import vessel_phantom
from tests.networks import TinySeg

SIZE = 48
SCENE = Path(__file__).parents[2] / "sample_data" / "scenes" / "test" / "images" / "scene_03.png"
IMAGES = 12


def by_gradient(segmenter: Segmenter, image: np.ndarray, target: Target) -> np.ndarray:
    return importance(gradient(segmenter, image, target))


def by_guided_backpropagation(segmenter: Segmenter, image: np.ndarray, target: Target) -> np.ndarray:
    """Springenberg et al. 2014: at each ReLU only what is positive goes back."""
    handles = [
        part.register_full_backward_hook(lambda _, grad_input, __: (grad_input[0].clamp(min=0),))
        for part in segmenter.module.modules()
        if isinstance(part, nn.ReLU)
    ]
    try:
        return gradient(segmenter, image, target).signed_map()
    finally:
        for handle in handles:
            handle.remove()


def by_edges(segmenter: Segmenter, image: np.ndarray, target: Target) -> np.ndarray:
    return np.hypot(ndimage.sobel(image[0], 0), ndimage.sobel(image[0], 1))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _trained(images: np.ndarray, masks: np.ndarray, seed: int) -> Segmenter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(1, 2, depth=2, width=8).train()
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        inputs, labels = torch.from_numpy((images - 0.2) / 0.2), torch.from_numpy(masks).long()
        for _ in range(60):
            chosen = torch.randperm(len(inputs))[:4]
            loss = F.cross_entropy(network(inputs[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return Segmenter(network, in_channels=1, mean=0.2, std=0.2, size_multiple=4)


@pytest.fixture(scope="module")
def phantoms() -> tuple[np.ndarray, np.ndarray]:
    found = [vessel_phantom(seed, (SIZE, SIZE)) for seed in range(IMAGES)]
    images = np.stack([phantom.image.reshape(1, SIZE, SIZE) for phantom in found])
    return images, np.stack([phantom.mask for phantom in found])


@pytest.fixture(scope="module")
def trained(phantoms) -> Segmenter:
    return _trained(*phantoms, seed=0)


@pytest.fixture(scope="module")
def scene(trained) -> tuple[np.ndarray, Target]:
    """An image that training has not seen, and the vessels that the network finds in it."""
    phantom = vessel_phantom(20, (SIZE, SIZE))
    image = phantom.image.reshape(1, SIZE, SIZE)
    labels = trained.predict(image).labels
    union = (labels == 1) | phantom.mask
    assert ((labels == 1) & phantom.mask).sum() > 0.5 * union.sum()
    return image, Target.region(labels == 1, 1, "logit")


def test_the_gradient_passes(trained, scene):
    image, region = scene
    before = Segmenter(trained.module, in_channels=1).weights_hash
    for target in (region, Target.region(np.ones((SIZE, SIZE)), 1)):
        found = sanity_check(trained, image, target, by_gradient, n_stages=6, name="Gradient")
        assert found.verdict == "passed"
        assert "Gradient passes" in found.in_words()
        np.testing.assert_array_equal(found.original, by_gradient(trained, image, target))
    assert Segmenter(trained.module, in_channels=1).weights_hash == before


@pytest.mark.parametrize("seed", [0, 1])
def test_guided_backpropagation_fails(trained, scene, seed):
    found = sanity_check(trained, *scene, by_guided_backpropagation, n_stages=6, seed=seed, name="Guided")
    assert found.verdict == "failed"
    assert found.verdict != "passed"
    assert "Guided fails" in found.in_words()


def test_verdicts_on_a_shipped_network():
    segmenter = load_segmenter("scenes", "cpu")
    image = read_image(SCENE)[:, 32:96, 64:128]
    labels = segmenter.predict(image).labels
    target = Target.region(labels == 3, 3)
    by_method = {
        method: sanity_check(segmenter, image, target, method, n_stages=4)
        for method in (by_gradient, by_guided_backpropagation)
    }
    assert by_method[by_gradient].verdict == "passed"
    assert by_method[by_guided_backpropagation].verdict != "passed"


def test_an_edge_detector_fails(trained, scene):
    found = sanity_check(trained, *scene, by_edges, n_stages=3)
    assert found.verdict != "passed"
    assert "fails" in found.in_words()
    for stage in found.stages:
        assert stage.likeness.ssim == pytest.approx(1)
        assert stage.likeness.rank_correlation == pytest.approx(1)
        assert stage.likeness.details == pytest.approx(1)


def test_a_network_trained_on_wrong_masks(trained, phantoms, scene):
    images, masks = phantoms
    mistaught = _trained(images, np.roll(masks, 5, axis=0), seed=1)
    by_method = {method: data_check(trained, mistaught, *scene, method, "It") for method in (by_gradient, by_edges)}
    assert by_method[by_gradient].verdict == "passed"
    assert "It passes" in by_method[by_gradient].in_words()
    assert by_method[by_gradient].likeness.rank_correlation < 0.5
    assert by_method[by_edges].verdict == "failed"
    assert "It fails" in by_method[by_edges].in_words()


def test_stages_of_both_modes(trained, scene):
    layers = tuple(layers_from_the_top(trained, (SIZE, SIZE)))
    seen, shown = [], []
    cascading = sanity_check(
        trained, *scene, by_edges, n_stages=4, progress=lambda *a: seen.append(a), show=shown.append
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [found.stages for found in shown] == [cascading.stages[:number] for number in (1, 2, 3, 4)]
    lengths = [len(stage.layers) for stage in cascading.stages]
    assert lengths == sorted(lengths)
    assert all(stage.layers == layers[: len(stage.layers)] for stage in cascading.stages)
    assert cascading.stages[-1].layers == layers
    independent = sanity_check(trained, *scene, by_edges, "independent", n_stages=4)
    assert sum((stage.layers for stage in independent.stages), ()) == layers
    assert independent.stages[0].layers == cascading.stages[0].layers
    assert independent.verdict == "undecided"
    each = sanity_check(trained, *scene, by_edges)
    assert [len(stage.layers) for stage in each.stages] == list(range(1, len(layers) + 1))
    assert len(sanity_check(trained, *scene, by_edges, "independent", n_stages=999).stages) == len(layers)


def test_stages_tell_what_the_copies_predict_and_are_reproducible(trained, scene):
    first, second, other = (sanity_check(trained, *scene, by_gradient, n_stages=2, seed=seed) for seed in (0, 0, 1))
    labels = trained.predict(scene[0]).labels
    for one, again, different in zip(first.stages, second.stages, other.stages, strict=True):
        assert one.labels.shape == labels.shape
        assert (one.labels != labels).any()
        np.testing.assert_array_equal(one.importance, again.importance)
        assert (one.importance != different.importance).any()
        assert one.likeness == likeness(first.original, one.importance)


def test_independent_stages_tell_what_the_map_depends_on():
    segmenter = Segmenter(TinySeg(), in_channels=1)
    image, target = np.random.default_rng(0).random((1, 16, 16), np.float32) * 9, Target.region(np.ones((16, 16)), 1)

    def reads_the_first_layer_alone(segmenter: Segmenter, image: np.ndarray, target: Target) -> np.ndarray:
        return ndimage.convolve(image[0], segmenter.module.conv.weight[1, 0].numpy())

    found = sanity_check(segmenter, image, target, reads_the_first_layer_alone, "independent", name="It")
    assert [stage.layers for stage in found.stages] == [("head",), ("conv",)]
    assert found.stages[0].likeness.details == pytest.approx(1)
    assert "changes most with “conv”" in found.in_words()
    assert "least with “head” (1.00 of 1 stays)" in found.in_words()


class Exploding(nn.Conv2d):
    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, float("inf"))


def test_maps_that_say_nothing_leave_it_undecided():
    torch.manual_seed(0)
    network = nn.Sequential(Exploding(1, 2, 3, padding=1, bias=False))
    nn.init.normal_(network[0].weight)
    segmenter = Segmenter(network, in_channels=1, size_multiple=1)
    image, target = np.random.default_rng(0).random((1, 12, 12), np.float32), Target.region(np.ones((12, 12)), 1)

    found = sanity_check(segmenter, image, target, by_gradient)
    assert np.isnan(found.stages[0].importance).all()
    assert (found.stages[0].labels == -1).all()
    assert found.verdict == "undecided"
    assert "cannot be judged" in found.in_words()
    assert "no randomised network" in sanity_check(segmenter, image, target, by_gradient, "independent").in_words()

    tiny = Segmenter(TinySeg(), in_channels=1)
    constant = sanity_check(tiny, image, target, lambda *_: np.zeros((12, 12)))
    assert constant.verdict == "undecided"
    assert constant.verdict != "passed"
    pair = data_check(tiny, tiny, image, target, lambda *_: np.ones((12, 12)))
    assert "cannot be judged" in pair.in_words()


def test_a_map_that_vanishes_with_the_weights_has_changed(trained, scene):
    def zeros_but_for_the_trained(segmenter: Segmenter, image: np.ndarray, target: Target) -> np.ndarray:
        return by_edges(segmenter, image, target) if segmenter is trained else np.zeros(image.shape[1:])

    found = sanity_check(trained, *scene, zeros_but_for_the_trained, n_stages=3)
    assert [stage.likeness.details for stage in found.stages] == [0, 0, 0]
    assert found.verdict == "passed"
    segmenter = Segmenter(TinySeg(), in_channels=1)
    assert data_check(trained, segmenter, *scene, zeros_but_for_the_trained).verdict == "passed"
    assert np.isnan(likeness(np.ones((12, 12)), np.random.default_rng(0).random((12, 12))).details)


def test_mistakes_of_the_method_on_a_copy_are_told():
    segmenter = Segmenter(TinySeg(), in_channels=1)
    image, target = np.random.default_rng(0).random((1, 12, 12), np.float32), Target.region(np.ones((12, 12)), 1)

    def fails_on_copies(given: Segmenter, image: np.ndarray, target: Target) -> np.ndarray:
        if given is not segmenter:
            raise UserError("This layer is not there.")
        return by_gradient(given, image, target)

    with pytest.raises(UserError, match="layer is not there"):
        sanity_check(segmenter, image, target, fails_on_copies)


def test_likeness_is_of_magnitudes():
    values = np.random.default_rng(0).normal(size=(16, 16))
    found = likeness(values, -3 * values)
    assert (found.ssim, found.rank_correlation, found.details) == pytest.approx((1, 1, 1))


def test_stopping_and_mistakes(trained, scene):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sanity_check(trained, *scene, by_edges, progress=stop)
    with pytest.raises(UserError, match='"upwards" was given'):
        sanity_check(trained, *scene, by_edges, "upwards")
    with pytest.raises(UserError, match="at least one stage"):
        sanity_check(trained, *scene, by_edges, n_stages=0)
    with pytest.raises(UserError, match="no class 9"):
        sanity_check(trained, scene[0], Target.pixel(0, 0, 9), by_gradient)
