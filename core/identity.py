"""What makes two networks the same: their weights, and what they do with them."""

import hashlib
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_INTERLEAVED = 61
_NO_ARITHMETIC = {"__get__", "_set_grad_enabled", "is_contiguous", "_assert"}


class OperationRecorder(TorchFunctionMode):
    """While it lasts, digests the operations that this thread calls, with their settings.

    Names, shapes and plain arguments count (stride, padding, dilation, slopes, modes), values of tensors do not: so the
    digest of a forward pass is the same on every device, with any number of threads, and differs where two networks
    with the same weights do different things. Values of an output would differ from device to device by rounding.
    """

    def __init__(self) -> None:
        super().__init__()
        self._digest = hashlib.sha256()

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Digest one call and make it."""
        name = getattr(func, "__qualname__", type(func).__name__).rpartition(".")[2]
        if name not in _NO_ARITHMETIC:
            self._digest.update(f"{name}{_plain(args)}{_plain(dict(kwargs or {}))}".encode())
        return func(*args, **(kwargs or {}))

    def hexdigest(self) -> str:
        """SHA-256 over all calls so far."""
        return self._digest.hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, Tensor):
        return f"<{tuple(value.shape)} {value.dtype}>"
    if isinstance(value, bool | int | str | torch.dtype | torch.Size | None):
        return repr(value)
    if isinstance(value, numbers.Real):
        return f"{float(value):.6g}"  # a number that was computed differs from device to device in its last digits
    if isinstance(value, tuple | list):
        return f"[{','.join(map(_plain, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_plain(entry)}' for key, entry in value.items())}}}"
    return type(value).__name__


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names and values of a module's state dict, its other buffers and its plain tensors."""
    digest = hashlib.sha256()
    for key, value in sorted(_tensors(module).items()):
        digest.update(f"{key}{value.dtype}{tuple(value.shape)}".encode())
        if _is_plain(value):
            plain = value.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def weights_checksum(module: nn.Module) -> tuple[object, ...]:
    """Changes whenever a value of a module's weights does, at the cost of reading them once.

    The counters that torch keeps of changes in place miss those through `.data` and through NumPy.
    """
    tensors = _tensors(module)
    sums = [_interleaved_sums(value) for value in tensors.values() if value.numel() and _is_plain(value)]
    values = torch.cat([each.cpu() for each in sums]).tolist() if sums else []
    return (*((key, tuple(value.shape), value.dtype) for key, value in tensors.items()), *values)


def _interleaved_sums(tensor: Tensor) -> Tensor:
    """Sums over the bits of every 61st pair of values, so that values that change places are noticed, too."""
    flat = tensor.detach().as_strided((tensor.numel(),), (1,)) if _fills_memory(tensor) else tensor.detach().reshape(-1)
    if flat.storage_offset() * flat.element_size() % 8:
        flat = flat.clone()  # eight bytes are read as one number, which must lie at a multiple of eight
    octets = flat.view(torch.uint8)
    whole = len(octets) // (8 * _INTERLEAVED) * (8 * _INTERLEAVED)
    sums = octets[:whole].view(torch.int64).view(-1, _INTERLEAVED).sum(dim=0) if whole else octets.new_zeros(0).long()
    return torch.cat((sums, octets[whole:].long()))


def _fills_memory(tensor: Tensor) -> bool:
    """Whether the values lie side by side, in whatever order of the axes."""
    return torch.ops.aten.is_non_overlapping_and_dense(tensor)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_quantized


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for prefix, part in module.named_modules():
        plain = ((name, value) for name, value in vars(part).items() if isinstance(value, Tensor))
        own = (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False), *plain)
        found |= {f"{prefix}.{name}": value for name, value in own}
    found |= {
        key: value for key, value in module.state_dict().items() if isinstance(value, Tensor) and key not in found
    }
    return found
