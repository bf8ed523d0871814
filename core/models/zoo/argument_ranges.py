"""The ranges of the arguments that the libraries' networks are built with, checked before they are."""

from collections.abc import Mapping
from typing import Any

from ..ranges import MOST_CHANNELS, MOST_CLASSES, RangeError, check_whole_number, shortened

_RANGES = {
    "in_channels": (1, MOST_CHANNELS),
    "num_classes": (1, MOST_CLASSES),
    "encoder_depth": (1, 8),
    "encoder_output_stride": (1, 64),
    "output_stride": (1, 64),
    "upsampling": (1, 64),
    "decoder_atrous_rates": (1, 256),  # a convolution pads its input by so much
    # Of timm's encoders: the table of positions has window_size⁴ entries, whatever memory there is.
    "window_size": (1, 64),
    "img_size": (1, 4096),
    "patch_size": (1, 256),
}
_CHANNELS = (1, 8192)
_LONGEST_LIST = 16


def check_argument_ranges(arguments: Mapping[str, Any]) -> None:
    """Refuse what no network of segmentation_models_pytorch or torchvision has, such as a depth of 100,000.

    Args:
        arguments: Whole numbers, or short lists of them, where one of these is named; None stands for the default.

    Raises:
        RangeError: Saying which argument is out of its range.
    """
    for name, value in arguments.items():
        bounds = _RANGES.get(name, _CHANNELS if name.endswith("_channels") else None)
        if bounds is None or value is None:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if len(values) > _LONGEST_LIST:
            raise RangeError(f"{name} is {shortened(repr(value))}; give at most {_LONGEST_LIST} numbers.")
        for entry in values:
            check_whole_number(name, entry, *bounds)
