"""Recognising an architecture from the keys and shapes of a state dict, without guessing.

Our own networks are recognised by their parameter names. Those of the libraries are built without memory and compared:
every key and every shape must be that of the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..ranges import shortened
from .architecture import ARCHITECTURES, Shapes, families
from .weightless import shapes_of

_USUAL_ENCODER = "resnet34"


@dataclass(frozen=True)
class Identity:
    """What a checkpoint file states about its network.

    Attributes:
        architecture: Name of the architecture; None where neither the file nor its keys state it.
        arguments: Arguments of the architecture; where that is not known, those of "encoder_name", "in_channels" and
            "num_classes" that can be read from the keys.
        states_normalisation: Whether the file states mean and std.
        candidates: The architectures that match equally well, where several do.
        sentence: Message for the user where the architecture is not known.
    """

    architecture: str | None
    arguments: dict[str, Any]
    states_normalisation: bool = False
    candidates: tuple[str, ...] = ()
    sentence: str = ""


def recognise(state_dict: Mapping[str, Tensor], name: str = "The state dict") -> Identity:
    """Architecture and arguments, where keys and shapes leave no doubt, else what can be read and why it is not enough.

    Args:
        state_dict: Its keys without prefixes.
        name: What to call it in the sentence.
    """
    shapes = {key: tuple(value.shape) for key, value in state_dict.items()}
    found = next((found for family in families() if (found := family.recognise(shapes))), [])
    if len(found) == 1:
        return Identity(*found[0])
    stated = next((stated for family in families() if (stated := family.stated(shapes))), {})
    candidates = tuple(sorted({architecture for architecture, _ in found}))
    if candidates:
        options = " or ".join(f"{architecture} with {arguments}" for architecture, arguments in found)
        sentence = f"The keys of {name} fit {options} alike; name the architecture and its arguments."
        return Identity(None, stated, candidates=candidates, sentence=sentence)
    first_keys = ", ".join(shortened(key, 80) for key in list(state_dict)[:3])
    hint = f" (its keys say {', '.join(f'{key} {value}' for key, value in stated.items())})" if stated else ""
    near = [f"{architecture} with {100 * share:.0f} %" for architecture, share in _closest(shapes, stated)]
    closest = f"; of its keys and their shapes the closest share: {', '.join(near)}" if near else ""
    sentence = (
        f"{name} does not say its architecture and its keys ({first_keys}, …) match none that is known{closest}; "
        f"name the architecture and its arguments{hint}, or give a function of your own as package.module:function."
    )
    return Identity(None, stated, sentence=sentence)


def _closest(shapes: Shapes, stated: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The two architectures that share most keys and shapes, as a fraction of all keys in either; none with 0."""
    shares = {}
    for architecture in ARCHITECTURES:
        arguments = {"encoder_name": _USUAL_ENCODER, **stated} if architecture.startswith("smp_") else {}
        built = shapes_of(architecture, arguments) or {}
        shares[architecture] = len(shapes.items() & built.items()) / max(1, len(shapes.keys() | built.keys()))
    best = sorted(shares.items(), key=lambda share: -share[1])[:2]
    return [(architecture, share) for architecture, share in best if share > 0]
