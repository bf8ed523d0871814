import threading

import pytest
import torch
from torch import Tensor, nn

from core import Segmenter, UserError
from core.models import Layer, layers
from tests.networks import NeedsMultiple, TinySeg


class ChannelsLast(nn.Module):
    """Half the size, normalised over the channels as the last axis, as in Swin and ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.norm = nn.Conv2d(1, 6, 2, stride=2), nn.LayerNorm(6)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.down(images).movedim(1, -1)).movedim(-1, 1))


class Hourglass(nn.Module):
    """Down by 2 and 3, a shared convolution that runs twice, what changes nothing, a global pooling, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 1, stride=(2, 3)), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.shared = nn.Conv2d(4, 4, 1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.nothing = nn.Sequential(nn.Identity())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.up = nn.Upsample(scale_factor=(2, 3))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        half = self.nothing(self.shared(self.down(images)))
        return self.head(self.up(half * self.pool(half) + self.shared(half)))


def test_tiny_network():
    assert layers(Segmenter(TinySeg(), in_channels=1), (3, 5)) == [
        Layer("conv", "Conv2d", 2, 3, 5, (1.0, 1.0)),
        Layer("relu", "ReLU", 2, 3, 5, (1.0, 1.0)),
        Layer("head", "Conv2d", 2, 3, 5, (1.0, 1.0)),
    ]


def test_channels_as_the_last_axis():
    assert layers(Segmenter(ChannelsLast(), in_channels=1), (8, 16)) == [
        Layer("down", "Conv2d", 6, 4, 8, (2.0, 2.0)),
        Layer("norm", "LayerNorm", 6, 4, 8, (2.0, 2.0)),
        Layer("head", "Conv2d", 2, 4, 8, (2.0, 2.0)),
    ]


def test_order_strides_and_what_is_left_out():
    assert layers(Segmenter(Hourglass(), in_channels=1), (8, 12)) == [
        Layer("down.0", "Conv2d", 4, 4, 4, (2.0, 3.0)),
        Layer("down.1", "ReLU", 4, 4, 4, (2.0, 3.0)),
        Layer("down", "Sequential", 4, 4, 4, (2.0, 3.0)),
        Layer("pool", "AdaptiveAvgPool2d", 4, 1, 1, None),
        Layer("shared", "Conv2d", 4, 4, 4, (2.0, 3.0)),
        Layer("up", "Upsample", 4, 8, 12, (1.0, 1.0)),
        Layer("head", "Conv2d", 2, 8, 12, (1.0, 1.0)),
    ]


def test_strides_are_those_of_the_padded_image():
    found = layers(Segmenter(NeedsMultiple(), in_channels=1), (9, 20))
    assert [(layer.name, layer.height, layer.width, layer.stride) for layer in found] == [
        ("down", 2, 3, (8.0, 8.0)),
        ("up", 16, 24, (1.0, 1.0)),
    ]


class Failing(TinySeg):
    def forward(self, images: Tensor) -> Tensor:
        self.conv(images)
        raise KeyError("broken")


@pytest.mark.parametrize("network", [TinySeg, Failing])
def test_no_hook_and_no_lock_stay_behind(network):
    segmenter = Segmenter(network(), in_channels=1, size_multiple=1)
    if network is Failing:
        with pytest.raises(KeyError):
            layers(segmenter, (4, 4))
    else:
        layers(segmenter, (4, 4))
    for part in segmenter.module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
    assert segmenter.lock.acquire(blocking=False)
    segmenter.lock.release()


def test_a_run_in_another_thread_is_not_taken_for_ones_own():
    """Not everything that runs a network holds its lock, as other threads that predict with it do not."""

    class Interrupted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 2, 1)
            self.is_owned = True

        def forward(self, values: Tensor) -> Tensor:
            features = self.first(values)
            if self.is_owned:
                self.is_owned = False
                other = threading.Thread(target=self, args=(torch.zeros(1, 1, 40, 40),))
                other.start()
                other.join()
                self.is_owned = True
            return self.second(features)

    segmenter = Segmenter(Interrupted(), in_channels=1)
    found = layers(segmenter, (20, 20))
    assert [(layer.name, layer.height) for layer in found] == [("first", 20), ("second", 20)]


def test_a_size_without_pixels():
    with pytest.raises(UserError, match="0×4 was given"):
        layers(Segmenter(TinySeg(), in_channels=1), (0, 4))


def test_results_do_not_depend_on_the_weights():
    network = Hourglass()
    torch.manual_seed(0)
    assert layers(Segmenter(network, in_channels=1), (8, 12)) == layers(Segmenter(Hourglass(), in_channels=1), (8, 12))
