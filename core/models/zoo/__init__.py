"""Architectures by name: our own, those of segmentation_models_pytorch ("smp_…") and of torchvision ("torchvision_…").

Names are known without importing either library; each is imported when one of its networks is built.
"""

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from ...errors import UserError
from ..custom_resnet import CustomResNet
from ..ranges import RangeError, shortened
from ..unet import UNet
from . import smp_networks, torchvision_networks
from .argument_ranges import check_argument_ranges

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "custom_resnet": CustomResNet,
    "unet": UNet,
    **{f"smp_{name}": partial(smp_networks.build, name) for name in smp_networks.NAMES},
    **{f"torchvision_{name}": partial(torchvision_networks.build, name) for name in torchvision_networks.NAMES},
}
"""A name and what builds it from the arguments that a checkpoint stores."""
_SIZE_MULTIPLES = {"custom_resnet": 16, "unet": 1}


def known_architectures() -> tuple[str, ...]:
    """The names that `build_module` takes."""
    return tuple(ARCHITECTURES)


def build_module(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights.

    Args:
        architecture: A key of `ARCHITECTURES`.
        arguments: Its keyword arguments. Every architecture has "in_channels" and "num_classes"; those of
            segmentation_models_pytorch have "encoder_name" and what their own class takes. Weights are fresh unless
            "encoder_weights" (torchvision: "weights" or "weights_backbone") names published ones to fetch.

    Raises:
        UserError: An unknown architecture or encoder (with the nearest known name), arguments that it does not take,
            or published weights that cannot be fetched.
    """
    if architecture not in ARCHITECTURES:
        raise UserError(unknown_architecture(architecture))
    try:
        check_argument_ranges(arguments)
        return ARCHITECTURES[architecture](**arguments)
    except RangeError as error:
        raise _cannot_be_built(architecture, arguments, error) from error
    except (UserError, MemoryError):
        raise
    except Exception as error:  # whatever a library's class raises for arguments that it was not made for
        raise _cannot_be_built(architecture, arguments, error) from error


def _cannot_be_built(architecture: str, arguments: Mapping[str, Any], error: Exception) -> UserError:
    reason = shortened(" ".join(str(error).split()) or type(error).__name__).rstrip(".")
    return UserError(
        f"The architecture {architecture} cannot be built from {shortened(str(dict(arguments)))}: {reason}."
    )


def unknown_architecture(name: str) -> str:
    """The sentence for a name that is no architecture, with the names nearest to it."""
    near = difflib.get_close_matches(name.lower(), ARCHITECTURES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? All" if near else "the known ones"
    return f'There is no architecture "{name}"; {hint} are: {", ".join(ARCHITECTURES)}.'


def size_multiple(architecture: str, arguments: Mapping[str, Any]) -> int | None:
    """What an image's height and width must be multiples of; None where it is found by trying."""
    family, _, name = architecture.partition("_")
    if family == "smp":
        return smp_networks.size_multiple(name, arguments)
    return 1 if family == "torchvision" else _SIZE_MULTIPLES.get(architecture)


def without_published_weights(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments less those that fetch weights: for a network whose weights come from a file."""
    return {name: value for name, value in arguments.items() if name not in _WEIGHTS_ARGUMENTS}


_WEIGHTS_ARGUMENTS = {"encoder_weights", "weights", "weights_backbone", "pretrained", "pretrained_backbone"}
# Of timm's encoders: which file to read, and where.
_WEIGHTS_ARGUMENTS |= {"pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
