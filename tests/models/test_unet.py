import pytest
import torch

from core.models import UNet, build_module


def test_parameters_of_the_common_implementation():
    """The well-known padded U-Net with batch normalisation and transposed convolutions has 31,037,633 parameters."""
    module = UNet(in_channels=3, num_classes=1)
    assert sum(parameter.numel() for parameter in module.parameters()) == 31_037_633


@pytest.mark.parametrize("depth", [1, 2, 4, 5])
@pytest.mark.parametrize("size", [(32, 48), (37, 51)])
def test_logits_have_the_size_of_the_image(depth, size):
    module = UNet(2, 3, depth=depth, width=2).eval()
    assert module(torch.rand(2, 2, *size)).shape == (2, 3, *size)


def test_channels_double_with_every_level():
    module = build_module("unet", {"in_channels": 1, "num_classes": 2, "depth": 5, "width": 3})
    assert [block[0].out_channels for block in module.encoder] == [3, 6, 12, 24, 48, 96]
    assert [block[0].in_channels for block in module.decoder] == [96, 48, 24, 12, 6]
