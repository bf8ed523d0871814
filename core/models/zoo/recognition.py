"""Recognising an architecture from the keys and shapes of a state dict: never a guess.

Our own networks are told by their parameter names. Those of segmentation_models_pytorch and torchvision are built
without memory and compared: what is recognised has every key and every shape in common with the file.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...errors import UserError
from ..ranges import shortened
from . import known_architectures
from .shapes import Shapes, shapes_of
from .smp_recognition import matching_smp_networks, stated_by_smp_keys
from .torchvision_recognition import matching_torchvision_networks

_USUAL_ENCODER = "resnet34"
Recognised = tuple[str, dict[str, Any]]
"""An architecture and its arguments."""


class UnknownArchitectureError(UserError):
    """A state dict whose keys do not tell one architecture.

    Attributes:
        candidates: The architectures that match alike; empty where none does.
        stated: What the keys do tell of the arguments: "encoder_name", "in_channels", "num_classes".
    """

    def __init__(self, sentence: str, candidates: tuple[str, ...], stated: dict[str, Any]) -> None:
        super().__init__(sentence)
        self.candidates = candidates
        self.stated = stated


def recognise(state_dict: Mapping[str, Tensor], name: str = "The state dict") -> Recognised:
    """Architecture and arguments, where keys and shapes leave no doubt.

    Args:
        state_dict: Its keys without prefixes.
        name: What to call it in the error.

    Raises:
        UnknownArchitectureError: No architecture matches, or several do alike.
    """
    if (ours := _custom_resnet(state_dict) or _unet(state_dict)) is not None:
        return ours
    shapes = {key: tuple(value.shape) for key, value in state_dict.items()}
    found = matching_torchvision_networks(shapes) or matching_smp_networks(shapes)
    if len(found) == 1:
        return found[0]
    stated = stated_by_smp_keys(shapes)
    candidates = tuple(sorted({architecture for architecture, _ in found}))
    if candidates:
        options = " or ".join(f"{architecture} with {arguments}" for architecture, arguments in found)
        raise UnknownArchitectureError(
            f"The keys of {name} fit {options} alike; name the architecture and its arguments.", candidates, stated
        )
    first_keys = ", ".join(shortened(key, 80) for key in list(state_dict)[:3])
    hint = f" (its keys tell {_listed(stated)})" if stated else ""
    near = [f"{architecture} with {100 * share:.0f} %" for architecture, share in closest(shapes)]
    closest_are = f"; of its keys and their shapes the closest share: {', '.join(near)}" if near else ""
    raise UnknownArchitectureError(
        f"{name} does not say its architecture and its keys ({first_keys}, …) match none that is known{closest_are}; "
        f"name the architecture and its arguments{hint}, or give a function of your own as package.module:function.",
        (),
        stated,
    )


def closest(shapes: Shapes, most: int = 2) -> list[tuple[str, float]]:
    """The architectures that have most in common with a state dict, best first; those with nothing are left out.

    Args:
        shapes: Keys and shapes.
        most: So many at most.

    Returns:
        Their names, and the keys of one shape in both as a fraction of all keys in either.
    """
    stated = stated_by_smp_keys(shapes)
    shares = {}
    for architecture in known_architectures():
        arguments = {"encoder_name": _USUAL_ENCODER, **stated} if architecture.startswith("smp_") else {}
        built = shapes_of(architecture, arguments) or {}
        shares[architecture] = len(shapes.items() & built.items()) / max(1, len(shapes.keys() | built.keys()))
    best = sorted(shares.items(), key=lambda share: -share[1])[:most]
    return [(architecture, share) for architecture, share in best if share > 0]


def _listed(stated: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in stated.items())


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
