"""The keys and shapes of networks, found without memory for their weights."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from ...errors import UserError
from . import build_module
from .weightless import Weightless

Shapes = Mapping[str, tuple[int, ...]]
"""Keys of a state dict and the shapes of their tensors."""


def shapes_of(architecture: str, arguments: Mapping[str, Any]) -> Shapes | None:
    """Keys and shapes of a network's state dict; None where it cannot be built from these arguments."""
    return _shapes_of(architecture, json.dumps(arguments))


@cache
def _shapes_of(architecture: str, arguments: str) -> Shapes | None:
    try:
        with Weightless():
            module = build_module(architecture, json.loads(arguments))
    except UserError:
        return None
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}
