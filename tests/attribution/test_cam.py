"""What class activation maps leave behind, share and refuse."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import Segmenter, Target, UserError
from core.attribution import cam
from core.attribution.cam import activations_and_gradients, cam_atlas, cam_methods, gradient_methods
from core.models import UNet
from tests.networks import IMAGE_1_TO_9, NeedsMultiple, TinySeg

PERTURBATION_METHODS = [name for name in cam_methods() if name not in gradient_methods()]
MASK = np.zeros((3, 3), dtype=bool)
MASK[1, 1] = MASK[2, 2] = True
TARGET = Target.region(MASK, 1, "logit")


def _hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


@pytest.fixture
def tiny():
    return Segmenter(TinySeg(), in_channels=1, name="tiny")


@pytest.mark.parametrize("method", cam_methods())
def test_nothing_is_left_behind(tiny, method):
    tiny.module.conv.weight.grad = torch.ones_like(tiny.module.conv.weight)
    before = {name: value.clone() for name, value in tiny.module.state_dict().items()}
    cam(tiny, IMAGE_1_TO_9, TARGET, "relu", method)
    assert _hooks(tiny.module) == 0
    assert not tiny.module.training
    assert not any(parameter.requires_grad for parameter in tiny.module.parameters())
    assert (tiny.module.conv.weight.grad == 1).all()
    assert tiny.module.head.weight.grad is None
    for name, value in tiny.module.state_dict().items():
        assert torch.equal(value, before[name])


class Fails(TinySeg):
    def forward(self, images: Tensor) -> Tensor:
        self.relu(self.conv(images))
        raise ZeroDivisionError


@pytest.mark.parametrize("method", ["layer_cam", "score_cam", "ablation_cam"])
def test_no_hook_stays_after_a_failure(tiny, method):
    broken = Segmenter(Fails(), in_channels=1, size_multiple=1)
    with pytest.raises(ZeroDivisionError):
        cam(broken, IMAGE_1_TO_9, TARGET, "relu", method)
    assert _hooks(broken.module) == 0
    with pytest.raises(UserError, match="no class 7"):
        cam(tiny, IMAGE_1_TO_9, Target.pixel(0, 0, 7), "relu", method)
    assert _hooks(tiny.module) == 0
    assert tiny.lock.acquire(blocking=False)
    tiny.lock.release()


@pytest.mark.parametrize("method", PERTURBATION_METHODS)
def test_progress_counts_the_channels_and_can_stop(tiny, method):
    seen = []
    cam(tiny, IMAGE_1_TO_9, TARGET, "relu", method, internal_batch_size=1, progress=lambda *at: seen.append(at))
    assert seen == [(1, 2), (2, 2)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cam(tiny, IMAGE_1_TO_9, TARGET, "relu", method, progress=stop)
    assert _hooks(tiny.module) == 0


@pytest.mark.parametrize("method", PERTURBATION_METHODS)
def test_batch_size_does_not_matter(method):
    torch.manual_seed(0)
    segmenter, image = Segmenter(UNet(3, 3, depth=2, width=4)), torch.rand(3, 13, 18)
    target = Target.region(np.ones((13, 18)), 2, "log_odds", "mean")
    one, five = (cam(segmenter, image, target, "encoder.1", method, internal_batch_size=n).values for n in (1, 5))
    np.testing.assert_allclose(one, five, rtol=1e-3, atol=1e-5 * np.abs(one).max())


def test_eight_threads_on_one_segmenter_get_what_one_gets():
    torch.manual_seed(1)
    segmenter = Segmenter(UNet(3, 4, depth=2, width=4))
    generator = torch.Generator().manual_seed(2)
    images = [torch.rand(3, *size, generator=generator) for size in ((20, 24), (20, 24), (17, 33), (24, 20))]
    layers = ["encoder.1", "encoder.2.2", "decoder.0", "final"]

    def work(index: int) -> list[np.ndarray]:
        image = images[index % 4]
        target = Target.pixel(index, 15 - index, index % 4, "logit")
        maps = [attribution.values for attribution in cam_atlas(segmenter, image, target, layers).values()]
        slow = (
            cam(segmenter, image, target, "encoder.2", method, internal_batch_size=4) for method in PERTURBATION_METHODS
        )
        return maps + [attribution.values for attribution in slow]

    def look(index: int) -> np.ndarray:
        return segmenter.predict(images[index % 4]).probabilities  # without the lock, as other pages do

    jobs = list(range(8)) * 2
    # Both runs on worker threads: the number of threads inside torch may differ from the main thread's.
    with ThreadPoolExecutor(1) as one:
        serial, seen = list(one.map(work, jobs)), list(one.map(look, jobs))
    with ThreadPoolExecutor(8) as eight, ThreadPoolExecutor(2) as others:
        looking = others.map(look, jobs * 8)
        parallel = list(eight.map(work, jobs))
        for found, expected in zip(looking, seen * 8, strict=True):
            np.testing.assert_array_equal(found, expected)
    for found, expected in zip(parallel, serial, strict=True):
        for one_map, same_map in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one_map, same_map)
    assert _hooks(segmenter.module) == 0


class InPlace(TinySeg):
    """The same numbers, but the convolution's output is overwritten."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.relu = nn.Identity()
        self.overwrite = relu

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.overwrite(self.conv(images)))


@pytest.mark.parametrize("relu", [nn.ReLU(inplace=True), torch.relu_, lambda features: features.clamp_(min=0)])
def test_what_overwrites_a_layer_does_not_change_its_map(tiny, relu):
    overwriting = Segmenter(InPlace(relu), in_channels=1)
    for method in cam_methods():
        expected = cam(tiny, IMAGE_1_TO_9, TARGET, "conv", method).values
        np.testing.assert_allclose(cam(overwriting, IMAGE_1_TO_9, TARGET, "conv", method).values, expected, atol=1e-6)
    if isinstance(relu, nn.Module):
        found = cam(overwriting, IMAGE_1_TO_9, TARGET, "overwrite")
        np.testing.assert_allclose(found.values, cam(tiny, IMAGE_1_TO_9, TARGET, "relu").values, atol=1e-6)


class SharedRelu(nn.Module):
    """z = 2 · ReLU(first - 1) + first, where first = ReLU(image - 1), by one and the same ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        first = self.relu(images - 1)
        return 2 * self.relu(first - 1) + first


def test_a_layer_that_runs_twice_stands_for_its_last_run():
    segmenter = Segmenter(SharedRelu(), in_channels=1)
    everywhere = Target.region(np.ones((3, 3)))
    last = np.maximum(IMAGE_1_TO_9.numpy() - 2, 0)  # the sum is 28, that of the first 36: the score is 92
    np.testing.assert_allclose(cam(segmenter, IMAGE_1_TO_9, everywhere, "relu").values, 2 * last)
    ablation = cam(segmenter, IMAGE_1_TO_9, everywhere, "relu", "ablation_cam")
    np.testing.assert_allclose(ablation.values, 56 / 92 * last, rtol=1e-5)


class Aside(nn.Module):
    """Layers that the score or the image does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(1, 2, 1)
        self.constant = nn.Conv2d(1, 2, 1, bias=False)
        self.idle = nn.Conv2d(1, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classify = nn.Linear(1, 2)
        with torch.no_grad():
            self.constant.weight.copy_(torch.tensor([3.0, 5.0]).view(2, 1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        self.unused(images)
        whole = self.classify(self.pool(images).flatten(1))
        return 4 * self.constant(torch.ones_like(images.detach())) + images + whole[:, :, None, None]


def test_a_layer_without_influence_gives_zero_and_one_without_the_image_its_share():
    segmenter = Segmenter(Aside(), in_channels=1)
    target = Target.region(MASK, 1, "logit")
    values = activations_and_gradients(segmenter, IMAGE_1_TO_9, target, ["unused", "constant"]).layers
    assert not values["unused"].gradients.any()
    assert values["unused"].activations.any()
    found = cam(segmenter, IMAGE_1_TO_9, target, "constant").values[0]
    np.testing.assert_allclose(found, 4 * 5 * MASK)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conf", 'no layer "conf"; did you mean "conv"'),
        ("", 'no layer ""; it has'),
        ("%%", "it has conv, relu, head"),
    ],
)
@pytest.mark.parametrize("method", ["layer_cam", "score_cam"])
def test_no_such_layer(tiny, layer, message, method):
    with pytest.raises(UserError, match=message):
        cam(tiny, IMAGE_1_TO_9, TARGET, layer, method)


@pytest.mark.parametrize("method", ["layer_cam", "ablation_cam"])
def test_layers_without_a_map(method):
    segmenter = Segmenter(Aside(), in_channels=1)
    for layer in ("classify", "pool"):
        with pytest.raises(UserError, match=f'"{layer}" of Aside has no spatial size'):
            cam(segmenter, IMAGE_1_TO_9, TARGET, layer, method)
    with pytest.raises(UserError, match='"idle" of Aside gives no features'):
        cam(segmenter, IMAGE_1_TO_9, TARGET, "idle", method)


def test_wrong_settings(tiny):
    with pytest.raises(UserError, match="The method is one of"):
        cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "eigen_cam")
    with pytest.raises(UserError, match="Only seg_xres_cam"):
        cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "layer_cam", window=2)
    with pytest.raises(UserError, match="at least one row"):
        cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "seg_xres_cam", window=(0, 1))
    with pytest.raises(UserError, match="The pooling is one of"):
        cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "seg_xres_cam", pooling="median")
    with pytest.raises(UserError, match="at least one"):
        cam(tiny, IMAGE_1_TO_9, TARGET, "relu", "score_cam", internal_batch_size=0)
    with pytest.raises(UserError, match="use cam"):
        cam_atlas(tiny, IMAGE_1_TO_9, TARGET, methods=["score_cam"])


def _bilinear(values: np.ndarray, length: int) -> np.ndarray:
    """Along the last axis, from positions that are as wide as several pixels, by the distances between centres."""
    count = values.shape[-1]
    centres = (np.arange(length) + 0.5) * count / length - 0.5
    return np.stack([np.interp(centres, np.arange(count), row) for row in values])


@pytest.mark.parametrize("method", cam_methods())
def test_a_padded_image_gets_the_part_of_the_map_that_is_its_own(method):
    torch.manual_seed(0)
    segmenter = Segmenter(NeedsMultiple(), in_channels=1)
    found = cam(segmenter, torch.rand(1, 9, 13), Target.pixel(4, 6, 1, "logit"), "down", method)
    assert found.values.shape == (1, 2, 2)
    assert found.padded_size == (16, 16)
    assert found.manifest()["parameters"]["padded_size"] == [16, 16]
    for positive in (True, False):
        small = np.maximum(found.values[0], 0) if positive else found.values[0]
        expected = _bilinear(_bilinear(small, 16).T, 16).T[:9, :13]
        shown = found.at_image_size(positive=positive)
        np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-6 * np.abs(small).max())


def test_sizes_that_the_network_pads_inside():
    torch.manual_seed(0)
    segmenter = Segmenter(UNet(3, 3, depth=3, width=4))
    atlas = cam_atlas(segmenter, torch.rand(3, 21, 35), Target.region(np.ones((21, 35)), 2))
    for attribution in atlas.values():
        assert attribution.at_image_size().shape == (21, 35)
        assert attribution.at_image_size().min() >= 0
    assert atlas["encoder.3", "layer_cam"].values.shape == (1, 2, 4)
    np.testing.assert_array_equal(
        atlas["final", "layer_cam"].at_image_size(positive=False), atlas["final", "layer_cam"].values[0]
    )


class Patches(nn.Module):
    """Patches of 4×4 mixed by a linear layer, as tokens or as a map in either order of axes: the same numbers."""

    def __init__(self, form: str) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.form = form
        self.embed = nn.Conv2d(1, 3, 4, stride=4)
        self.mix = nn.Conv2d(3, 5, 1) if form == "map" else nn.Linear(3, 5)
        torch.manual_seed(6)
        weight, bias = torch.randn(5, 3), torch.randn(5)
        self.mix.load_state_dict({"weight": weight.view(self.mix.weight.shape), "bias": bias})
        self.head = nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        embedded = self.embed(images)
        size = embedded.shape[-2:]
        if self.form == "map":
            mixed = self.mix(embedded)
        elif self.form == "channels last":
            mixed = self.mix(embedded.movedim(1, -1)).movedim(-1, 1)
        else:
            tokens = embedded.flatten(2).transpose(1, 2)
            if self.form == "tokens after a class token":
                tokens = torch.cat((torch.full_like(tokens[:, :1], 0.3), tokens), dim=1)
            tokens = self.mix(tokens)[:, -size.numel() :]
            mixed = tokens.transpose(1, 2).reshape(-1, 5, *size)
        return F.interpolate(self.head(torch.tanh(mixed)), scale_factor=4)


@pytest.mark.parametrize("form", ["channels last", "tokens", "tokens after a class token"])
@pytest.mark.parametrize("method", cam_methods())
def test_tokens_and_channels_last_give_the_map_of_the_same_network(form, method):
    image = torch.rand(1, 12, 28, generator=torch.Generator().manual_seed(0))
    target = Target.pixel(6, 13, 1, "logit")
    as_map, other = (
        cam(Segmenter(Patches(name), in_channels=1), image, target, "mix", method) for name in ("map", form)
    )
    assert other.values.shape == (1, 3, 7)
    np.testing.assert_allclose(other.values, as_map.values, rtol=1e-4, atol=1e-6)
