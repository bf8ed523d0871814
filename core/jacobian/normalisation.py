"""Batch normalisation in eval mode, with a backward pass that takes several gradients at once."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _AffineBackward(torch.autograd.Function):
    """The given output forward; backward, the gradient times the scale of the channel."""

    @staticmethod
    def forward(ctx: Any, _features: Tensor, output: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (scale,) = ctx.saved_tensors
        return gradients[0] * scale, None, None


@contextlib.contextmanager
def batchable(module: nn.Module) -> Iterator[None]:
    """Within, the graph of a forward pass takes several gradients at once through every frozen batch normalisation.

    With fixed statistics it is y = (x - mean) / √(var + ε) · weight + bias, so ∂y/∂x is one number a channel. PyTorch
    knows that, but has no rule for several gradients at once and goes one by one. The values forward stay the same.
    """
    hooks = [
        layer.register_forward_hook(_with_affine_backward)
        for layer in module.modules()
        if isinstance(layer, _BatchNorm) and not layer.training and layer.running_var is not None
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _with_affine_backward(layer: _BatchNorm, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    if layer.running_var is None:
        return output
    scale = (layer.running_var + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight
    shape = [1, -1, *[1] * (output.ndim - 2)]
    return _AffineBackward.apply(inputs[0], output.detach(), scale.detach().view(shape))
