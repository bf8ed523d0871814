"""Differentiation by the image."""

import contextlib
import threading

import torch
from torch import Tensor

from ..errors import explained_differentiation

forward_mode_lock = threading.Lock()
"""To be held in forward mode: torch counts its levels for all threads together, so two at once disturb each other."""


def input_gradient(score: Tensor, batch: Tensor) -> Tensor:
    """∂score / ∂batch; zero where the score does not depend on the batch. No parameter's `.grad` is touched."""
    if not score.requires_grad:
        return torch.zeros_like(batch)
    with explained_differentiation():
        return torch.autograd.grad(score, batch, allow_unused=True, materialize_grads=True)[0]


def exact_arithmetic(device: torch.device) -> contextlib.AbstractContextManager:
    """Float32 throughout on a GPU: without it cuDNN rounds the factors of every product to 10 bits (TF32)."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
