import copy

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from core.errors import UserError
from core.jacobian import receptive_field
from core.models import CustomResNet, UNet
from core.segmenter import Segmenter
from tests.jacobian.rows import lively


class Linear(nn.Module):
    """A network of positive linear layers: a gradient is above 0 exactly where there is a path."""

    def __init__(self, *layers: nn.Module, skip: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.skip = skip
        for parameter in self.parameters():
            nn.init.constant_(parameter, 1.0)

    def forward(self, images):
        features = self.layers(images)
        if self.skip:
            features = features + images[..., : features.shape[-2], : features.shape[-1]]
        return torch.cat((features, 2 * features), dim=1)


def conv(kernel=3, **arguments):
    return nn.Conv2d(1, 1, kernel, bias=False, **arguments)


def up(kernel, **arguments):
    return nn.ConvTranspose2d(1, 1, kernel, bias=False, **arguments)


NETWORKS = {
    "one_by_one": lambda: Linear(conv(1)),
    "three_convolutions": lambda: Linear(*(conv(padding=1) for _ in range(3))),
    "rectangular": lambda: Linear(conv((5, 1), padding=(2, 0)), conv((1, 3), padding=(0, 1))),
    "one_sided": lambda: Linear(nn.ZeroPad2d((3, 0, 0, 1)), conv((2, 4))),
    "dilated": lambda: Linear(conv(padding=3, dilation=3), conv(padding=1)),
    "strided_and_transposed": lambda: Linear(
        conv(padding=1, stride=2),
        conv(padding=1, stride=2),
        up(2, stride=2),
        up(3, stride=2, padding=1, output_padding=1),
    ),
    "stride_three": lambda: Linear(conv(padding=1, stride=3), up(3, stride=3)),
    "pooling": lambda: Linear(nn.AvgPool2d(2), conv(padding=1), nn.Upsample(scale_factor=2, mode="nearest")),
    "skip": lambda: Linear(nn.AvgPool2d(4), conv(padding=1), nn.Upsample(scale_factor=4, mode="nearest"), skip=True),
    "low_resolution_output": lambda: Linear(conv(padding=1, stride=2), conv(padding=1)),
}


def gradient_support(segmenter, size, axis):
    """Bool (N, N): which input lines reach which output lines, by one gradient an output line in float64."""
    segmenter.module.double()
    segmenter._mean, segmenter._std = segmenter._mean.double(), segmenter._std.double()
    images = torch.full((1, 1, *size), 0.5, dtype=torch.float64, requires_grad=True)
    outputs = segmenter.unchecked_logits(images)[0].sum(dim=(0, 2 - axis))
    lines = [torch.autograd.grad(output, images, retain_graph=True)[0][0, 0].sum(dim=1 - axis) for output in outputs]
    return (torch.stack(lines) > 0).numpy()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("size", [(24, 36), (25, 31)])
@pytest.mark.parametrize("name", NETWORKS)
def test_support_equals_that_of_all_gradients(name, size, axis):
    field = receptive_field(Segmenter(NETWORKS[name](), in_channels=1), size)
    support = (field.rows, field.columns)[axis]
    for position, inputs in enumerate(gradient_support(Segmenter(NETWORKS[name](), in_channels=1), size, axis)):
        expected = np.flatnonzero(inputs)
        found = (support.first[position], support.last[position])
        # At the border, and where the scale is no whole number, upsampling of logits reads a neighbour with the weight
        # 0: a path without a gradient.
        inside = 4 <= position < size[axis] - 4 and size[axis] % 2 == 0
        if name == "low_resolution_output" and not inside:
            assert found[0] <= expected[0], position
            assert found[1] >= expected[-1], position
        else:
            assert found == (expected[0], expected[-1]), position


def test_three_convolutions_see_three_pixels_each_way():
    field = receptive_field(Segmenter(NETWORKS["three_convolutions"](), in_channels=1), (21, 30))
    assert (field.up, field.down, field.left, field.right) == (3, 3, 3, 3)
    assert field.window(10, 10) == (slice(7, 14), slice(7, 14))
    assert field.window(0, 29) == (slice(0, 4), slice(26, 30))


def test_extents_differ_by_side():
    field = receptive_field(Segmenter(NETWORKS["one_sided"](), in_channels=1), (20, 20))
    assert (field.up, field.down, field.left, field.right) == (0, 1, 3, 0)


def test_vessel_network_by_phase_of_its_stride():
    """The intervals worked out by hand: 125 wide at multiples of 16, else 109 wide and fixed for each block of 16."""
    field = receptive_field(Segmenter(CustomResNet(width=1), in_channels=1), (208, 160))
    for support in (field.rows, field.columns):
        position = np.arange(len(support))
        block = position // 16
        first = np.where(position % 16 == 0, position - 62, 16 * block - 46)
        np.testing.assert_array_equal(support.first, np.maximum(first, 0))
        np.testing.assert_array_equal(support.last, np.minimum(16 * block + 62, len(support) - 1))


def test_sizes_not_divisible_by_the_stride_and_max_pooling():
    """Max pooling picks one of its inputs, so its support is wider than any one gradient but never narrower."""
    segmenter = Segmenter(lively(UNet(1, 2, depth=2, width=2)), in_channels=1)
    field = receptive_field(segmenter, (45, 39))
    for seed in range(3):
        images = torch.rand(1, 1, 45, 39, generator=torch.Generator().manual_seed(seed)).requires_grad_()
        logits = segmenter.unchecked_logits(images)
        for row, column in ((0, 0), (44, 38), (22, 19), (21, 38), (44, 1), (7, 30)):
            (gradient,) = torch.autograd.grad(logits[0, 1, row, column], images, retain_graph=True)
            gradient[(0, 0, *field.window(row, column))] = 0
            assert not gradient.any()


class SqueezeAndExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, images):
        features = self.conv(images)
        return features * features.mean(dim=(2, 3), keepdim=True).sigmoid()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 4, 4, stride=4)
        self.attend = nn.MultiheadAttention(4, 1, batch_first=True)
        self.head = nn.ConvTranspose2d(4, 2, 4, stride=4)

    def forward(self, images):
        features = self.embed(images)
        tokens = features.flatten(2).transpose(1, 2)
        attended = self.attend(tokens, tokens, tokens)[0]
        return self.head(attended.transpose(1, 2).reshape(features.shape))


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 2, 1))

    def forward(self, images):
        return self.layers(images)


@pytest.mark.parametrize("network", [SqueezeAndExcite, Attention, Normalised])
def test_dense_networks(network):
    assert receptive_field(Segmenter(network(), in_channels=1), (32, 24)) == "dense"


def test_a_field_larger_than_the_image_is_not_dense():
    field = receptive_field(Segmenter(CustomResNet(width=1), in_channels=1), (48, 32))
    assert (field.up, field.down, field.left, field.right) == (47, 47, 31, 31)


class RowAttention(nn.Module):
    """Every pixel sees its own row only, all of it."""

    def forward(self, images):
        return torch.cat((images, images + images.mean(dim=3, keepdim=True)), dim=1)


def test_axes_are_told_apart():
    field = receptive_field(Segmenter(RowAttention(), in_channels=1), (20, 30))
    assert (field.up, field.down, field.left, field.right) == (0, 0, 29, 29)


class Swallowing(nn.Module):
    """A comparison with NaN is false, so a plain probe is lost here."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, images):
        features = self.conv(images)
        return torch.where(features > 0, features, 0.0)


def test_a_choice_between_branches_swallows_no_probe():
    field = receptive_field(Segmenter(Swallowing(), in_channels=1), (24, 24))
    assert (field.up, field.down, field.left, field.right) == (1, 1, 1, 1)


class Hidden(nn.Module):
    """A 3×3 mean that NumPy computes, where no probe can follow, and that lets a NaN vanish."""

    class Mean(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            found = ndimage.uniform_filter(np.nan_to_num(values.detach().numpy()), (0, 0, 3, 3), mode="constant")
            return torch.from_numpy(found)

        @staticmethod
        def backward(context, gradient):
            return torch.from_numpy(ndimage.uniform_filter(gradient.numpy(), (0, 0, 3, 3), mode="constant"))

    def forward(self, images):
        return torch.cat((images, self.Mean.apply(images)), dim=1)


def test_a_network_that_swallows_the_probe_is_taken_as_dense():
    assert receptive_field(Segmenter(Hidden(), in_channels=1), (24, 24)) == "dense"


class WidthDependent(nn.Module):
    """On images narrower than 40 columns it looks less far up and down."""

    def forward(self, images):
        reach = 5 if images.shape[-1] >= 40 else 1
        averaged = nn.functional.avg_pool2d(images, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
        return torch.cat((images, averaged), dim=1)


def test_a_strip_that_behaves_otherwise_is_noticed():
    assert receptive_field(Segmenter(WidthDependent(), in_channels=1), (60, 50)).up == 5


class NeedsWidth(nn.Module):
    def forward(self, images):
        padded = nn.functional.pad(images, (40, 40, 0, 0), mode="reflect")[..., 40:-40]
        return torch.cat((padded, nn.functional.avg_pool2d(padded, 3, stride=1, padding=1)), dim=1)


def test_a_network_that_refuses_strips_is_probed_at_full_size():
    field = receptive_field(Segmenter(NeedsWidth(), in_channels=1, size_multiple=1), (50, 60))
    assert (field.up, field.down, field.left, field.right) == (1, 1, 1, 1)


def test_probing_leaves_the_network_as_it_was():
    module = lively(UNet(1, 2, depth=2, width=2))
    before = copy.deepcopy(module.state_dict())
    segmenter = Segmenter(module, in_channels=1)
    receptive_field(segmenter, (32, 32))
    after = module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not module.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in module.parameters())
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in module.modules())


def test_a_size_that_is_none():
    with pytest.raises(UserError, match="at least one row"):
        receptive_field(Segmenter(CustomResNet(width=1), in_channels=1), (0, 5))


def test_a_network_that_fails_on_the_narrow_strip_is_probed_at_full_size():
    """Whatever networks raise for a size that they cannot take, an IndexError too."""

    class Indexing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, images):
            images.select(-1, 20).select(-1, 20)
            return self.layer(images)

    field = receptive_field(Segmenter(Indexing(), in_channels=1), (30, 26))
    assert (field.up, field.down, field.left, field.right) == (1, 1, 1, 1)
