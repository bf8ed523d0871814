"""Building a network from the name of its architecture and its arguments, whose ranges are checked first."""

from typing import Any

from torch import nn

from ...errors import UserError
from ..ranges import MOST_CHANNELS, MOST_CLASSES, InvalidValueError, check_whole_number, shortened
from .architecture import ARCHITECTURES, Arguments, check_architecture

_RANGES = {
    "in_channels": (1, MOST_CHANNELS),
    "num_classes": (1, MOST_CLASSES),
    "encoder_depth": (1, 8),
    "encoder_output_stride": (1, 64),
    "output_stride": (1, 64),
    "upsampling": (1, 64),
    "decoder_atrous_rates": (1, 256),  # a convolution pads its input by that many pixels
    # Arguments of timm's encoders: the table of positions has window_size⁴ entries, whatever memory there is.
    "window_size": (1, 64),
    "img_size": (1, 4096),
    "patch_size": (1, 256),
}
_CHANNELS = (1, 8192)
_LONGEST_LIST = 16
_WEIGHTS_ARGUMENTS = {"encoder_weights", "weights", "weights_backbone", "pretrained", "pretrained_backbone"}
# Arguments of timm's encoders that name a file to read.
_WEIGHTS_ARGUMENTS |= {"pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}


def build_module(architecture: str, arguments: Arguments) -> nn.Module:
    """A network with fresh weights.

    Args:
        architecture: A key of `ARCHITECTURES`.
        arguments: Its keyword arguments. Every architecture has "in_channels" and "num_classes"; those of
            segmentation_models_pytorch have "encoder_name" (one of its own, or "tu-" and a timm name) and what their
            own class takes. Weights are fresh unless "encoder_weights" (torchvision: "weights" or "weights_backbone")
            names published ones to fetch, e.g. "imagenet" ("DEFAULT").

    Raises:
        UserError: An unknown architecture or encoder (with the nearest known name), arguments that it does not take,
            or published weights that cannot be fetched.
    """
    check_architecture(architecture)
    try:
        _check_ranges(arguments)
        return ARCHITECTURES[architecture].build(**arguments)
    except Exception as error:  # whatever a library's class raises for arguments that it was not made for
        if isinstance(error, UserError | MemoryError) and not isinstance(error, InvalidValueError):
            raise
        reason = shortened(" ".join(str(error).split()) or type(error).__name__).rstrip(".")
        raise UserError(
            f"The architecture {architecture} cannot be built from {shortened(str(dict(arguments)))}: {reason}."
        ) from error


def without_published_weights(arguments: Arguments) -> dict[str, Any]:
    """The arguments without those that fetch weights: for a network whose weights come from a file."""
    return {name: value for name, value in arguments.items() if name not in _WEIGHTS_ARGUMENTS}


def _check_ranges(arguments: Arguments) -> None:
    """Refuse what no network of a library has, such as a depth of 100,000; None stands for the default."""
    for name, value in arguments.items():
        bounds = _RANGES.get(name, _CHANNELS if name.endswith("_channels") else None)
        if bounds is None or value is None:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if len(values) > _LONGEST_LIST:
            raise InvalidValueError(f"{name} is {shortened(repr(value))}; give at most {_LONGEST_LIST} numbers.")
        for entry in values:
            check_whole_number(name, entry, *bounds)
