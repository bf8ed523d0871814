import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core import Segmenter, UserError
from core.models import UNet
from core.trust.randomisation import layers_from_the_top, randomised
from tests.networks import OneChannel, TinySeg, Wrapped


class Attentive(nn.Module):
    """Parameters of the network itself, of a part that is used without being called, and one that two parts share."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 4, 16, 16))
        self.embed = nn.Conv2d(1, 4, 1)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.first = nn.Conv2d(4, 4, 1, bias=False)
        self.second = nn.Conv2d(4, 4, 1, bias=False)
        self.second.weight = self.first.weight
        self.never = nn.Conv2d(4, 4, 1)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.embed(images) + self.position
        tokens = features.flatten(2).transpose(1, 2)
        attended, _ = self.attention(tokens, tokens, tokens)
        features = attended.transpose(1, 2).reshape(features.shape)
        return self.head(self.second(self.first(features).relu()))


class FrozenNormalisation(nn.Module):
    """As torchvision's: scale, shift and statistics are all buffers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.full((channels,), 7.0))

    def forward(self, images: Tensor) -> Tensor:
        scale = (self.weight * self.running_var.rsqrt()).view(1, -1, 1, 1)
        return (images - self.running_mean.view(1, -1, 1, 1)) * scale + self.bias.view(1, -1, 1, 1)


class Normalised(nn.Module):
    """Two normalisations without parameters, before and after the first layer that has some, and one without use."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(1, affine=False)
        self.conv = nn.Conv2d(1, 3, 1)
        self.frozen = FrozenNormalisation(3)
        self.never = FrozenNormalisation(2)
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.frozen(self.conv(self.first(images))).relu_())
        self.never(logits)
        return logits


class FixedSize(nn.Module):
    """Takes images of 80×80 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 1, 80, 80))
        self.head = nn.Conv2d(1, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images + self.position)


class Hesitant(nn.Conv2d):
    """Gives way to other threads between its two draws."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)
        time.sleep(0.002)
        nn.init.normal_(self.bias)


def _unet() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(UNet(1, 2, depth=1, width=4), in_channels=1, size_multiple=2)


def _attentive() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(Attentive(), in_channels=1, size_multiple=1)


def _state(segmenter: Segmenter) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in segmenter.module.state_dict().items()}


def _changed(first: Segmenter, second: Segmenter) -> set[str]:
    other = second.module.state_dict()
    return {name for name, value in first.module.state_dict().items() if not torch.equal(value, other[name])}


def test_order_is_that_of_use_from_the_output():
    assert layers_from_the_top(Segmenter(TinySeg(), in_channels=1), (5, 6)) == ["head", "conv"]
    assert layers_from_the_top(_unet(), (9, 12)) == [
        "final",
        *(f"decoder.0.{part}" for part in (4, 3, 1, 0)),
        "upsample.0",
        *(f"encoder.{level}.{part}" for level in (1, 0) for part in (4, 3, 1, 0)),
    ]


def test_what_does_not_reach_the_logits_is_left_out():
    assert layers_from_the_top(Segmenter(Wrapped("tensor")), (8, 8)) == ["classify", "encode"]
    assert layers_from_the_top(Segmenter(Wrapped("dict", 3), output="aux"), (8, 8)) == ["auxiliary", "encode"]
    with pytest.raises(UserError, match="nothing to randomise"):
        layers_from_the_top(Segmenter(OneChannel(), in_channels=1), (8, 8))


def test_parameters_of_the_network_itself_functional_ones_and_shared_ones():
    found = layers_from_the_top(_attentive(), (16, 16))
    assert found[0] == "head"
    assert found[1] in ("first", "second")
    assert found[2:5] == ["attention.out_proj", "attention", ""]
    assert found[5:] == ["embed"]


def test_normalisations_without_parameters_are_layers():
    network = Normalised()
    network.first.running_mean.fill_(7.0)
    segmenter = Segmenter(network, in_channels=1, size_multiple=1)
    layers = layers_from_the_top(segmenter, (8, 8))
    assert layers == ["head", "frozen", "conv", "first"]
    copied = randomised(segmenter, layers).module
    assert (copied.first.running_mean == 0).all()
    fresh = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}
    assert all((getattr(copied.frozen, name) == value).all() for name, value in fresh.items())
    assert (network.frozen.weight == 7).all()
    assert (copied.never.weight == 7).all()


def test_the_order_is_read_on_a_small_image_where_the_network_takes_one():
    segmenter, sizes = _unet(), []
    segmenter.findings()
    segmenter.module.register_forward_pre_hook(lambda _, given: sizes.append(tuple(given[0].shape[-2:])))
    found = [layers_from_the_top(segmenter, size) for size in ((400, 700), (40, 700))]
    assert found[0] == found[1]
    assert sizes == [(64, 64), (40, 64)]
    assert layers_from_the_top(Segmenter(FixedSize(), in_channels=1, size_multiple=1), (80, 80)) == ["head", ""]
    with pytest.raises(RuntimeError):
        layers_from_the_top(Segmenter(FixedSize(), in_channels=1, size_multiple=1), (40, 40))


def test_threads_do_not_disturb_each_other(monkeypatch):
    def fail(seed: int) -> None:
        raise AssertionError(f"Every GPU's generator was set to {seed}.")

    segmenter = Segmenter(nn.Sequential(Hesitant(1, 3, 3), Hesitant(3, 2, 1)), in_channels=1)
    names = ["0", "1"]
    alone = [randomised(segmenter, names, seed).weights_hash for seed in range(3)]
    before = torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", fail)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda number: randomised(segmenter, names, number % 3).weights_hash, range(45)))
    assert found == alone * 15
    assert torch.equal(torch.get_rng_state(), before)


def test_the_original_stays_as_it_is():
    segmenter = _unet()
    before, original_hash, random_state = _state(segmenter), segmenter.weights_hash, torch.get_rng_state()
    image = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0))
    predicted = segmenter.predict(image).probabilities
    names = layers_from_the_top(segmenter, (12, 12))
    copy = randomised(segmenter, names)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in segmenter.module.state_dict().items())
    again = Segmenter(segmenter.module, in_channels=1, size_multiple=2)
    assert again.weights_hash == original_hash
    assert copy.weights_hash != original_hash
    assert copy.lock is not segmenter.lock
    assert not copy.module.training
    assert not any(parameter.requires_grad for parameter in (*copy.module.parameters(), *segmenter.module.parameters()))
    np.testing.assert_array_equal(segmenter.predict(image).probabilities, predicted)
    assert np.abs(copy.predict(image).probabilities - predicted).max() > 0


def test_only_the_layers_asked_for_are_drawn_anew():
    segmenter = _unet()
    assert _changed(segmenter, randomised(segmenter, [])) == set()
    assert _changed(segmenter, randomised(segmenter, ["final"])) == {"final.weight", "final.bias"}
    attentive = _attentive()
    assert _changed(attentive, randomised(attentive, [""])) == {"position"}
    assert _changed(attentive, randomised(attentive, ["first"])) == {"first.weight", "second.weight"}


def test_batch_normalisation_starts_afresh():
    segmenter = _unet()
    norm = segmenter.module.encoder[0][1]
    for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        tensor.fill_(7.0)
    copy = randomised(segmenter, ["encoder.0.1"]).module.encoder[0][1]
    for tensor, value in ((copy.running_mean, 0), (copy.running_var, 1), (copy.weight, 1), (copy.bias, 0)):
        assert (tensor == value).all()
    assert (norm.running_mean == 7).all()


def test_draws_are_those_of_torch_or_keep_mean_and_spread():
    segmenter = _attentive()
    with torch.no_grad():
        segmenter.module.position.mul_(3.0).add_(5.0)
        segmenter.module.head.weight.fill_(100.0)
    copy = randomised(segmenter, ["", "head"]).module
    assert float(copy.position.mean()) == pytest.approx(float(segmenter.module.position.mean()), abs=0.4)
    assert float(copy.position.std()) == pytest.approx(float(segmenter.module.position.std()), rel=0.1)
    assert float(copy.head.weight.abs().max()) <= 0.5  # 1 / √(fan in), as torch draws a convolution's


def test_parameters_that_are_all_the_same_are_drawn_anew_too():
    segmenter = _attentive()
    with torch.no_grad():
        for value, spread in ((0.0, 1.0), (-20.0, 20.0)):
            segmenter.module.position.fill_(value)
            drawn = randomised(segmenter, [""]).module.position
            assert float(drawn.std()) == pytest.approx(spread, rel=0.1)
            assert float(drawn.mean()) == pytest.approx(value, abs=0.1 * spread)


def test_seed_and_name_alone_decide_the_draws():
    segmenter = _unet()
    one = randomised(segmenter, ["final"], seed=3)
    more = randomised(segmenter, ["final", "upsample.0"], seed=3)
    other = randomised(segmenter, ["final"], seed=4)
    assert torch.equal(one.module.final.weight, more.module.final.weight)
    assert not torch.equal(one.module.final.weight, other.module.final.weight)
    assert _changed(one, more) == {"upsample.0.weight", "upsample.0.bias"}


def test_settings_of_the_segmenter_are_kept():
    segmenter = Segmenter(
        Wrapped("dict"), class_names=("a", "b", "c"), mean=0.4, std=(0.1, 0.2, 0.3), output="aux", name="x"
    )
    copy = randomised(segmenter, ["encode"])
    assert (copy.mean, copy.std, copy.asked.entry) == (segmenter.mean, segmenter.std, "aux")
    assert copy.class_names == ("a", "b", "c")
    assert copy.name == "x (randomised)"


def test_mistakes():
    with pytest.raises(UserError, match='no layer "middle"'):
        randomised(_unet(), ["middle"])
    segmenter = _unet()
    segmenter.module.mutex = threading.Lock()
    with pytest.raises(UserError, match="cannot be copied"):
        randomised(segmenter, ["final"])


def test_want_of_memory_is_told_as_such(monkeypatch):
    segmenter = _unet()

    def fail(_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(copy, "deepcopy", fail)
    with pytest.raises(torch.OutOfMemoryError):
        randomised(segmenter, ["final"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_draws_are_the_same_on_a_gpu():
    on_cpu = _unet()
    on_gpu = Segmenter(UNet(1, 2, depth=1, width=4), in_channels=1, size_multiple=2, device="cuda")
    on_gpu.module.load_state_dict(on_cpu.module.state_dict())
    names = layers_from_the_top(on_gpu, (8, 8))
    assert names == layers_from_the_top(on_cpu, (8, 8))
    copies = [randomised(segmenter, names) for segmenter in (on_cpu, on_gpu)]
    assert copies[0].weights_hash == copies[1].weights_hash
    assert copies[1].device.type == "cuda"
