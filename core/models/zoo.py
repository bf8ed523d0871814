"""Architectures by name, and recognising one from the keys of a state dict."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from core.errors import UserError
from core.models.custom_resnet import CustomResNet
from core.models.unet import UNet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"custom_resnet": CustomResNet, "unet": UNet}
"""A name and what builds it from the arguments that a checkpoint stores."""
SIZE_MULTIPLES = {"custom_resnet": 16, "unet": 1}
"""Height and width must be multiples of this."""


def build_module(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights.

    Args:
        architecture: A key of `ARCHITECTURES`.
        arguments: Its keyword arguments.

    Raises:
        UserError: An unknown architecture, or arguments that it does not take.
    """
    if architecture not in ARCHITECTURES:
        raise UserError(f'There is no architecture "{architecture}"; the known ones are: {", ".join(ARCHITECTURES)}.')
    try:
        return ARCHITECTURES[architecture](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"The architecture {architecture} cannot be built from {dict(arguments)}: {error}.") from error


def recognise(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    """Architecture and arguments, where the keys leave no doubt; None where they do.

    A CustomResNet and a U-Net are told by their own parameter names; the rest is read from the shapes.
    """
    return _custom_resnet(state_dict) or _unet(state_dict)


def _custom_resnet(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    first, last = state_dict.get("conv1.weight"), state_dict.get("final.weight")
    blocks = all(f"resblock{i}.skip.0.weight" in state_dict and f"upconv{i}.weight" in state_dict for i in range(1, 5))
    if first is None or last is None or not blocks or first.ndim != 4 or last.ndim != 4:
        return None
    arguments = {"in_channels": first.shape[1], "num_classes": last.shape[0], "width": first.shape[0]}
    return "custom_resnet", arguments


def _unet(state_dict: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    first, last = state_dict.get("encoder.0.0.weight"), state_dict.get("final.weight")
    depth = sum(f"upsample.{level}.weight" in state_dict for level in range(16))
    if first is None or last is None or depth == 0 or first.ndim != 4 or last.ndim != 4:
        return None
    arguments = {"in_channels": first.shape[1], "num_classes": last.shape[0], "depth": depth, "width": first.shape[0]}
    return "unet", arguments
