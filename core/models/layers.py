"""The layers of a network by name, in the order in which they finish, and the shape of each one's output."""

import threading
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..segmenter import Segmenter
from ..segmenter.prompts import layer_sizes
from .spatial import spatial_form

_PASSING_THROUGH = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_PASSING_THROUGH_NAMES = {"DropPath", "StochasticDepth"}


@dataclass(frozen=True)
class Layer:
    """A named module and its output for one image.

    Attributes:
        name: As in `segmenter.module.get_submodule(name)`.
        type_name: The module's class, e.g. "Conv2d".
        channels: Channels of its output (1, channels, height, width).
        height: Rows of its output.
        width: Columns of its output.
        stride: Image rows and columns from one position of the output to the next, in the image that the network gets
            (padded where the segmenter pads it); None for an output of one position.
    """

    name: str
    type_name: str
    channels: int
    height: int
    width: int
    stride: tuple[float, float] | None


def layers(segmenter: Segmenter, size: tuple[int, int]) -> list[Layer]:
    """Every module, blocks and their parts alike, whose output is one map, as they finish.

    A map is (channels, height, width) or, where its size tells so, (height, width, channels).

    The module itself and what changes nothing in eval mode (identity, dropout) are left out. A module that runs
    several times is listed once, by its last run.

    Args:
        segmenter: The network; it is run once on a black image, under its lock.
        size: Height and width of that image.

    Raises:
        UserError: A size that the network cannot take.
    """
    if min(size) < 1:
        raise UserError(f"An image has at least one row and one column; {size[0]}×{size[1]} was given.")
    black = torch.zeros(1, segmenter.in_channels, *size, device=segmenter.device)
    outputs: dict[str, torch.Size] = {}  # shapes by name, under "" that of the network's input
    owner = threading.get_ident()  # not everything that runs a network holds its lock

    def start(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if threading.get_ident() == owner:
            outputs.clear()  # the run before was of a size that the network refused
            outputs[""] = inputs[0].shape

    def record(name: str, output: object) -> None:
        if threading.get_ident() != owner:
            return
        outputs.pop(name, None)
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[0] == 1 and output.numel() > 0:
            outputs[name] = output.shape

    with segmenter.lock, torch.no_grad(), ExitStack() as hooks:
        hooks.enter_context(segmenter.module.register_forward_pre_hook(start))
        for name, part in segmenter.module.named_modules():
            if name and not _passes_through(part):
                hooks.enter_context(part.register_forward_hook(lambda _, __, output, name=name: record(name, output)))
        segmenter.unchecked_logits(black)
    height, width = outputs.pop("")[-2:]
    seen_size, (image_height, image_width) = layer_sizes(segmenter.module, (height, width))
    found = []
    for name, shape in outputs.items():
        form = spatial_form(shape, seen_size)
        assert form is not None  # noqa: S101 - all have four axes
        stride = (image_height / form.height, image_width / form.width) if form.height * form.width > 1 else None
        type_name = type(segmenter.module.get_submodule(name)).__name__
        found.append(Layer(name, type_name, form.channels, form.height, form.width, stride))
    return found


def _passes_through(module: nn.Module) -> bool:
    """Whether the module changes nothing in eval mode, being an identity or a wrapper of nothing else."""
    if children := list(module.children()):
        return not list(module.parameters()) and all(map(_passes_through, children))
    return isinstance(module, _PASSING_THROUGH) or type(module).__name__ in _PASSING_THROUGH_NAMES
