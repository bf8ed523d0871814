"""Recognising torchvision's segmentation networks."""

from typing import Any

from .shapes import Shapes, shapes_of
from .torchvision_networks import NAMES

_FIRST_CONVOLUTIONS = ("backbone.conv1.weight", "backbone.0.0.weight")
_CLASSIFIERS = ("classifier.4.weight", "classifier.low_classifier.weight")


def matching_torchvision_networks(shapes: Shapes) -> list[tuple[str, dict[str, Any]]]:
    """The networks, with their arguments, whose keys and shapes are all these."""
    first = next((shapes[key] for key in _FIRST_CONVOLUTIONS if key in shapes), ())
    last = next((shapes[key] for key in _CLASSIFIERS if key in shapes), ())
    if len(first) != 4 or len(last) != 4:
        return []
    arguments: dict[str, Any] = {"in_channels": first[1], "num_classes": last[0]}
    if any(key.startswith("aux_classifier.") for key in shapes):
        arguments["aux_loss"] = True
    return [
        (f"torchvision_{name}", arguments) for name in NAMES if shapes_of(f"torchvision_{name}", arguments) == shapes
    ]
