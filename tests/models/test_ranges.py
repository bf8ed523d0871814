"""Sizes that no network has are refused before anything is built."""

import pytest
from torch import nn

from core import UserError
from core.models import (
    CustomResNet,
    UNet,
    build_module,
)
from core.models.zoo.weightless import Weightless


@pytest.fixture
def _no_layers(monkeypatch):
    """Building any layer is an error."""
    for layer in (nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d):
        monkeypatch.setattr(layer, "__init__", lambda *_, **__: pytest.fail("a layer was built"))


@pytest.mark.usefixtures("_no_layers")
@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("unet", {"depth": 100_000}),
        ("unet", {"depth": 9}),
        ("unet", {"depth": 0}),
        ("unet", {"depth": True}),
        ("unet", {"width": 4097}),
        ("unet", {"width": 2.0}),
        ("unet", {"in_channels": 1001}),
        ("unet", {"num_classes": 0}),
        ("unet", {"num_classes": 100_001}),
        ("custom_resnet", {"width": 4097}),
        ("custom_resnet", {"width": 0}),
        ("custom_resnet", {"in_channels": "3"}),
        ("smp_unet", {"encoder_depth": 100_000}),
        ("smp_unet", {"in_channels": 100_000}),
        ("smp_unet", {"decoder_channels": [64] * 17}),
        ("smp_unet", {"decoder_channels": [100_000] * 5}),
        ("smp_fpn", {"upsampling": 100_000}),
        ("smp_deeplabv3", {"decoder_atrous_rates": [100_000, 2, 3]}),
        ("smp_unet", {"encoder_name": "tu-swin_tiny_patch4_window7_224", "window_size": 1000}),
        ("torchvision_fcn_resnet50", {"in_channels": 5000}),
        ("torchvision_fcn_resnet50", {"num_classes": 10**9}),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_built(architecture, arguments):
    with pytest.raises(UserError, match=f"The architecture {architecture} cannot be built from .* give "):
        build_module(architecture, arguments)


@pytest.mark.usefixtures("_no_layers")
def test_our_own_classes_refuse_them_too():
    for build in (lambda: UNet(depth=100_000), lambda: CustomResNet(width=10**6)):
        with pytest.raises(UserError, match="give a whole number from 1 to"):
            build()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("unet", {"depth": 8, "width": 4096, "in_channels": 1000, "num_classes": 100_000}),
        ("custom_resnet", {"width": 4096, "in_channels": 1000, "num_classes": 100_000}),
        ("smp_unet", {"in_channels": 1000, "num_classes": 100_000, "decoder_channels": [8192] * 5}),
        ("torchvision_deeplabv3_resnet101", {"in_channels": 1000, "num_classes": 100_000}),
    ],
)
def test_the_largest_sizes_are_built_without_memory(architecture, arguments):
    with Weightless():
        module = build_module(architecture, arguments)
    real = sum(parameter.numel() for parameter in module.parameters() if not parameter.is_meta)
    assert real < 10_000_000


@pytest.mark.timeout(60)
def test_a_network_of_thousands_of_layers_is_given_up():
    arguments = {"encoder_name": "tu-convnext_tiny", "encoder_depth": 4, "depths": [100_000] * 4}
    with Weightless(), pytest.raises(UserError, match="more than 10000 tensors; give fewer layers"):
        build_module("smp_upernet", arguments)
