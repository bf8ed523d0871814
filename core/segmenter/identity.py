"""The identity of a network: its weights, and the operations that it runs on them."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_INTERLEAVED = 509
"""A prime: values that lie a power of two apart count in different sums. A large one, since long rows add up fast."""
_NO_ARITHMETIC = {"__get__", "_set_grad_enabled", "is_contiguous", "_assert", "dim", "size", "numel"}
_NO_ARITHMETIC |= {"is_floating_point"}
_RANDOM = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "bernoulli_"),
    *("normal", "normal_", "uniform_", "random_", "exponential_", "multinomial", "poisson", "cauchy_", "log_normal_"),
}
_DROPOUTS = {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "dropout_"}
_NAMES_IN_GRAPH = re.compile(r"#.*|__torch__[\w.]*")
_PLAIN = (bool, int, str, bytes, complex, slice, type(...), torch.dtype, np.integer)
_NUMBER = "_number_of_result"


class OperationRecorder(TorchFunctionMode):
    """Context that digests the operations that this thread calls, with their settings and the origin of their operands.

    Names, plain arguments (stride, padding, dilation, slopes, modes) and the order of operands count, values of tensors
    count only where they are constants that the state dict does not hold. So the digest of a forward pass is the same
    on every device, with any number of threads, and differs where two networks with the same weights do different
    things. Values of an output would differ from device to device by rounding.

    Args:
        module: The network that runs, whose weights are known by their names.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        """SHA-256 over all calls so far."""
        self._names = {id(value): key for key, value in module.state_dict(keep_vars=True).items()}
        self._results = 0
        self.random = ""
        """The operation that drew random numbers, if one did."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Digest one call and make it."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__qualname__", type(func).__name__).rpartition(".")[2]
        counts = name not in _NO_ARITHMETIC
        if counts:
            self.digest.update(f"{name}{self._plain(args)}{self._plain(kwargs)}".encode())
        if (name in _RANDOM and kwargs.get("generator") is None) or (name in _DROPOUTS and _draws(args, kwargs)):
            self.random = name
        result = func(*args, **kwargs)
        if counts:
            self.number(result)
        return result

    def number(self, result: object) -> None:
        """Take tensors for results of a call, as the network's input must be, so that their values do not count."""
        if isinstance(result, Tensor):
            self._results += 1
            setattr(result, _NUMBER, self._results)
        elif isinstance(result, tuple | list):
            for entry in result:
                self.number(entry)

    def _plain(self, value: object) -> str:
        if isinstance(value, Tensor):
            return self._plain_tensor(value)
        if isinstance(value, tuple | list):
            return f"[{','.join(map(self._plain, value))}]"
        if isinstance(value, Mapping):
            return f"{{{','.join(f'{key}:{self._plain(entry)}' for key, entry in value.items())}}}"
        if isinstance(value, float | np.floating):
            return f"{float(value):.6g}"  # a number that was computed differs from device to device in its last digits
        if isinstance(value, np.ndarray):
            return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return repr(value) if value is None or isinstance(value, _PLAIN) else type(value).__name__

    def _plain_tensor(self, tensor: Tensor) -> str:
        if id(tensor) in self._names:
            return self._names[id(tensor)]
        known = getattr(tensor, _NUMBER, None)
        if known is None and not tensor.requires_grad:
            return f"<{_content(tensor)}>"
        return f"<{known} {tensor.dtype}>"  # None: computed from the image by a function that is not torch's


def _draws(args: tuple, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of a dropout draws random numbers."""
    probability = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
    training = args[2] if len(args) > 2 else kwargs.get("training", True)
    return bool(training) and isinstance(probability, int | float) and probability > 0


def _content(tensor: Tensor) -> str:
    """SHA-256 of a constant."""
    plain = tensor.detach().cpu()
    if not _is_plain(plain):
        return repr(plain)
    octets = plain.contiguous().flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return hashlib.sha256(f"{plain.dtype}{tuple(plain.shape)}".encode() + octets).hexdigest()


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names and values of a module's state dict, and the code of its compiled parts."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(f"{key}{_content(value) if isinstance(value, Tensor) else value!r}".encode())
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            digest.update(f"{name}{_NAMES_IN_GRAPH.sub('', str(part.inlined_graph))}".encode())
    return digest.hexdigest()


def weights_checksum(module: nn.Module) -> tuple[object, ...]:
    """Sums that change whenever a value of a module's weights does, at the cost of reading them once.

    Torch's own counters of changes in place miss those through `.data` and through NumPy.
    """
    tensors = {key: value for key, value in module.state_dict().items() if isinstance(value, Tensor)}
    parts = [part for value in tensors.values() if value.numel() and _is_plain(value) for part in _sums_and_rest(value)]
    contents = [part.cpu().numpy().tobytes() for part in parts]
    return (*((key, value.shape, value.dtype) for key, value in tensors.items()), *contents)


def _sums_and_rest(tensor: Tensor) -> list[Tensor]:
    """Sums over every 509th group of eight octets, so that values that change places are noticed, too; and the rest."""
    side_by_side = torch.ops.aten.is_non_overlapping_and_dense(tensor)  # in whatever order of the axes
    flat = tensor.detach().as_strided((tensor.numel(),), (1,)) if side_by_side else tensor.detach().reshape(-1)
    if flat.storage_offset() * flat.element_size() % 8:
        flat = flat.clone()  # eight bytes are read as one number, which must lie at a multiple of eight
    octets = flat.view(torch.uint8)
    whole = len(octets) // (8 * _INTERLEAVED) * (8 * _INTERLEAVED)
    sums = [octets[:whole].view(torch.int64).view(-1, _INTERLEAVED).sum(dim=0)] if whole else []
    return [*sums, octets[whole:]]


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_quantized
