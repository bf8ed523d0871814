"""Attention that is differentiated by its formula, where the fused kernels have no derivative of the kind wanted."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PlainAttention(TorchFunctionMode):
    """While it lasts, this thread's scaled dot-product attention is differentiated by its formula.

    Vaswani et al., "Attention is all you need", 2017, section 3.2.1. The fused kernels have neither a forward-mode rule
    nor a second derivative on a CPU. Choosing torch's own plain kernel instead would choose it for every thread, and
    its values are rounded otherwise: a unit on the brink of its ReLU could switch. So the values stay the fused ones.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Make one call, by the formula where it is attention."""
        if func is F.multi_head_attention_forward:  # it calls the fused kernel only where no weights are wanted
            output, _ = func(*args, **{**(kwargs or {}), "need_weights": True})
            return output, None
        if func is F.scaled_dot_product_attention:
            plain = _attention(*args, **(kwargs or {}))
            values = {name: _without_derivative(value) for name, value in (kwargs or {}).items()}
            fused = func(*map(_without_derivative, args), **values)
            # Of two numbers that are so close, the difference and this sum are exact.
            return plain + (fused - _without_derivative(plain))
        return func(*args, **(kwargs or {}))


def _without_derivative(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """As `torch.nn.functional.scaled_dot_product_attention`."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], dim=-3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    weights = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device).tril()
    if attn_mask is not None:
        masked = attn_mask.dtype is torch.bool
        weights = weights.masked_fill(~attn_mask, -math.inf) if masked else weights + attn_mask
    weights = weights.softmax(dim=-1)
    return (F.dropout(weights, dropout_p) if dropout_p else weights) @ value
