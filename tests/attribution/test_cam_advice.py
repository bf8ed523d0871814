import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import Segmenter, Target, UserError, load_segmenter
from core.attribution import cam
from core.attribution.cam import cam_warnings, layer_advice, map_layers
from core.models import UNet
from tests.networks import IMAGE_1_TO_9, OneChannel, TinySeg


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return Segmenter(UNet(3, 4, depth=3, width=6))


def test_layers_before_a_1x1_head_are_read_point_by_point(unet):
    # What follows the last 3×3 convolution is normalisation, ReLU and the head.
    assert layer_advice(unet, (64, 96)).pointwise == {"decoder.2.3", "decoder.2.4", "decoder.2.5", "decoder.2", "final"}


class CoarseHead(nn.Module):
    """Logits at half the size, upsampled by the network itself, as many architectures do."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.act = nn.ReLU()
        self.mix = nn.Conv2d(8, 8, 3, padding=1)
        self.act_again = nn.ReLU()
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.act_again(self.mix(self.act(self.encode(images)))))
        return F.interpolate(logits, scale_factor=2, mode="bilinear")


def test_layers_before_a_head_that_is_then_upsampled():
    torch.manual_seed(0)
    segmenter = Segmenter(CoarseHead(), in_channels=1)
    found = layer_advice(segmenter, (32, 32)).pointwise
    assert {"mix", "act_again", "head"} <= found
    assert not {"encode", "act"} & found
    # On such a layer the map is the logit inside the set, spread by the upsampling, and nothing outside.
    image = torch.rand(1, 32, 32)
    hires = cam(segmenter, image, Target.pixel(9, 20, 1, "logit"), "act_again").values[0]
    assert np.count_nonzero(hires) <= 4


def test_the_bottleneck_is_suggested(unet):
    advice = layer_advice(unet, (64, 96))
    name, reason = advice.suggested, advice.reason
    assert name == "encoder.3"
    assert "8×12" in reason
    assert name not in layer_advice(unet, (64, 96)).pointwise
    assert name in map_layers(unet, (64, 96))


def test_the_shipped_network_has_a_suggestion():
    advice = layer_advice(load_segmenter("vessmap", "cpu"), (96, 96))
    name, reason = advice.suggested, advice.reason
    assert name == "resblock4"
    assert "6×6" in reason


def test_a_map_of_few_positions_is_not_suggested(unet):
    advice = layer_advice(unet, (16, 24))  # the bottleneck is 2×3
    name, reason = advice.suggested, advice.reason
    assert name == "decoder.0"
    assert "4×6" in reason


def test_a_network_without_downsampling():
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)), nn.Conv2d(4, 2, 1))
    advice = layer_advice(Segmenter(network, in_channels=4), (16, 16))
    name, reason = advice.suggested, advice.reason
    assert name == "1"
    assert "No layer here is coarser than 16×16" in reason


def test_a_network_of_nothing_but_a_head():
    advice = layer_advice(Segmenter(TinySeg(), in_channels=1), (9, 9))
    name, reason = advice.suggested, advice.reason
    assert name == "conv"
    assert "point by point" in reason
    with pytest.raises(UserError, match="No layer of OneChannel gives a map"):
        layer_advice(Segmenter(OneChannel(), in_channels=1), (9, 9))


@pytest.fixture
def tiny():
    return Segmenter(TinySeg(), in_channels=1)


def test_a_sound_map_is_not_warned_about(unet):
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = cam(unet, image, Target.pixel(30, 30, 1), "encoder.2")
    assert cam_warnings(found, unet.predict(image), layer_advice(unet, (64, 64)).pointwise) == ()


def test_warnings(tiny):
    def words(target: Target, method: str = "seg_hires_grad_cam", **changes: object) -> str:
        attribution = cam(tiny, IMAGE_1_TO_9, target, "relu", method)
        changed = dataclasses.replace(attribution, **changes)
        return " ".join(cam_warnings(changed, tiny.predict(IMAGE_1_TO_9), layer_advice(tiny, (3, 3)).pointwise))

    centre = Target.pixel(1, 1, 1, "logit")  # its logit is -27
    assert "Empty when positive" in words(centre)
    assert "reads relu point by point" in words(centre)
    assert "Saturated" not in words(centre)
    assert "no pixel" in words(Target.region(np.zeros((3, 3)), 1))
    assert "0 everywhere" in words(centre, values=np.zeros((1, 3, 3), dtype=np.float32))
    assert "Constant" in words(centre, values=np.full((1, 3, 3), 2, dtype=np.float32))
    # Logits 31 and -27: the probability is 1 to 25 digits.
    assert "Saturated" in words(Target.pixel(1, 1, 0, "probability"))
    middle_row = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]])
    assert "Saturated" in words(Target.region(middle_row, 0, "probability"))
    assert "Saturated" not in words(Target.pixel(1, 1, 0, "log_odds"))
    assert "One channel has all the weight" in words(Target.region(np.ones((3, 3)), 0), "score_cam")


def test_no_layer_of_the_vessel_network_is_degenerate_at_any_size_but_its_end():
    """Its decoder is linear; the middle pixel of this size reads 2×2 positions of the bottleneck, others read 3×3."""
    advice = layer_advice(load_segmenter("vessmap", "cpu"), (200, 312))
    assert not any(name.startswith(("resblock", "upconv")) for name in advice.pointwise)
    assert advice.suggested.startswith("resblock4")
    assert advice.layers[advice.suggested].height == 13
