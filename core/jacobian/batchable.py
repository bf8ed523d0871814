"""Batch normalisation with fixed statistics, with a backward pass that takes several gradients at once."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _FixedNormalisation(torch.autograd.Function):
    """Batch normalisation with fixed statistics forward; backward, the gradient times the scale of the channel."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        epsilon: float,
    ) -> Tensor:
        scale = (variance + epsilon).rsqrt()
        if weight is not None:
            scale = scale * weight
        ctx.save_for_backward(scale.view(1, -1, *[1] * (features.ndim - 2)))
        return F.batch_norm(features, mean, variance, weight, bias, training=False, eps=epsilon)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = ctx.saved_tensors
        return (gradients[0] * scale).to(gradients[0].dtype), None, None, None, None, None


class Batchable(TorchFunctionMode):
    """While it lasts, the graphs that this thread makes take several gradients at once through batch normalisation.

    With fixed statistics it is y = (x - mean) / √(var + ε) · weight + bias, so ∂y/∂x is one number per channel. PyTorch
    knows that, but has no rule for several gradients at once and goes one by one. The values forward stay the same. It
    takes the place of the function itself, not of any layer: what else a layer does is not touched, and neither is any
    other thread.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make one call, with our own backward pass where it is a batch normalisation with fixed statistics."""
        kwargs = dict(kwargs or {})
        if func is F.batch_norm:
            given = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
            fixed = not given.get("training", False) and given.get("running_var") is not None
            if fixed and given.get("running_mean") is not None and _is_frozen(given):
                return _FixedNormalisation.apply(
                    given["input"],
                    given["running_mean"],
                    given["running_var"],
                    given.get("weight"),
                    given.get("bias"),
                    given.get("eps", 1e-5),
                )
        return func(*args, **kwargs)


_ARGUMENTS = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")


def _is_frozen(given: Mapping[str, Any]) -> bool:
    """Whether no gradient is wanted by anything but the features."""
    others = (given.get(name) for name in ("running_mean", "running_var", "weight", "bias"))
    return not any(isinstance(value, Tensor) and value.requires_grad for value in others)
