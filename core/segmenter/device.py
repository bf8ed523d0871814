"""Where a network runs, and in which number type."""

import torch
from torch import Tensor, nn

from ..errors import UserError


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device for "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UserError: This machine does not have the device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f'There is no device "{device}"; use auto, cpu or cuda.') from error
    try:
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"This machine has no device {chosen} that torch can use; use auto or cpu.") from error
    return chosen


def number_type(module: nn.Module) -> torch.dtype | None:
    """The floating-point type of most of a module's weights; None where it has none."""
    values: list[Tensor] = [value for value in module.parameters() if value.is_floating_point()]
    values = values or [value for value in module.buffers() if value.is_floating_point()]
    return max(values, key=Tensor.numel).dtype if values else None
