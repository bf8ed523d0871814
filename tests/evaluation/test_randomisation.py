import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core import Segmenter, UserError
from core.evaluation.randomisation import layers_from_the_top, randomised
from core.models import UNet
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


def test_the_original_stays_as_it_is():
    segmenter = _unet()
    before, original_hash, random_state = _state(segmenter), segmenter.weights_hash, torch.get_rng_state()
    image = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0))
    predicted = segmenter.predict(image).probabilities
    names = layers_from_the_top(segmenter, (12, 12))
    copy = randomised(segmenter, names)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in segmenter.module.state_dict().items())
    again = Segmenter(segmenter.module, in_channels=1)
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
    assert (copy.mean, copy.std, copy.output) == (segmenter.mean, segmenter.std, "aux")
    assert copy.class_names == ("a", "b", "c")
    assert copy.name == "x (randomised)"


def test_mistakes():
    with pytest.raises(UserError, match='no layer "middle"'):
        randomised(_unet(), ["middle"])
    segmenter = _unet()
    segmenter.module.mutex = threading.Lock()
    with pytest.raises(UserError, match="cannot be copied"):
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
