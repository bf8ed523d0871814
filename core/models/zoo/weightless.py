"""Building a network without memory for its weights, for its keys and shapes."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...errors import UserError
from ..ranges import InvalidValueError
from .architecture import Arguments, Shapes
from .building import build_module

_MOST_TENSORS = 10_000
"""The largest networks of the libraries have some thousands."""
_ALLOCATING = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}
# What initialisation writes; there is nothing to write to, and skipping it makes building several times as fast.
_WRITING = {"normal_", "uniform_", "fill_", "zero_", "mul_", "add_", "clamp_", "erfinv_", "copy_"}
_WRITING |= {"constant_", "kaiming_normal_", "kaiming_uniform_", "trunc_normal_", "xavier_uniform_", "xavier_normal_"}


class Weightless(TorchFunctionMode):
    """A context in which new weights take no memory, only names and shapes.

    Unlike `torch.device("meta")` it leaves `linspace`, `arange` and `tensor` alone, which networks read numbers from
    while they are built: rates of stochastic depth, tables of positions.

    Raises:
        InvalidValueError: More tensors are made than any network has, as for thousands of layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made = 0

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Send what allocates memory to the meta device."""
        given = dict(kwargs or {})
        if func.__name__ in _WRITING:
            written = args[0] if args else given.get("tensor")
            if isinstance(written, Tensor) and written.is_meta:
                return written
        if func in _ALLOCATING and given.get("device") is None:
            given["device"] = "meta"
            self._made += 1
            if self._made > _MOST_TENSORS:
                raise InvalidValueError(f"the network has more than {_MOST_TENSORS} tensors; give fewer layers.")
        return func(*args, **given)


def has_weightless(module: nn.Module) -> bool:
    """Whether any parameter, buffer or other tensor attribute of the module still has no memory."""
    for value in (value for part in module.modules() for value in vars(part).values()):  # parameters and buffers too
        entries = (
            value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
        )
        if any(isinstance(entry, Tensor) and entry.is_meta for entry in entries):
            return True
    return False


def shapes_of(architecture: str, arguments: Arguments) -> Shapes | None:
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
