"""Batch normalisation with fixed statistics, with a backward pass that takes several gradients at once."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _FixedNormalisation(torch.autograd.Function):
    """A normalisation forward; backward, the gradient times the scale of the channel."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, scale: Tensor, normalise: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(scale.view(1, -1, *[1] * (features.ndim - 2)))
        return normalise()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = ctx.saved_tensors
        return (gradients[0] * scale).to(gradients[0].dtype), None, None


class Batchable(TorchFunctionMode):
    """While it is active, the graphs that this thread makes take several gradients at once through batch normalisation.

    With fixed statistics it is y = (x - mean) / √(var + ε) · weight + bias, so ∂y/∂x is one number per channel. PyTorch
    knows that, but has no rule for several gradients at once and goes one by one. The values forward stay the same. The
    function is replaced, not a layer: what else a layer does is not touched, and neither is any other thread.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.batch_norm:
            given = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
            mean, variance, weight, bias = map(given.get, ("running_mean", "running_var", "weight", "bias"))
            fixed = not given.get("training", False) and mean is not None and variance is not None
            if fixed and not any(value is not None and value.requires_grad for value in (mean, variance, weight, bias)):
                scale = (variance + given.get("eps", 1e-5)).rsqrt()
                scale = scale if weight is None else scale * weight
                return _FixedNormalisation.apply(given["input"], scale, partial(func, *args, **kwargs))
        return func(*args, **kwargs)


_ARGUMENTS = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
