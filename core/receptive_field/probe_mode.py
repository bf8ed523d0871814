"""Probing with NaN through operations that would lose it, and detecting operations that cannot be probed.

A NaN follows every path that a gradient can take, except through two kinds of operations. Some lose it: a choice of
two branches drops what it does not choose, a clamp may drop what it cuts off. There it is put back, so that the result
is the union of what the network could look at for any image. Others read positions that the image's values determine
(a sampling grid that is computed from the image, an index, a sort), branch on them, or are not torch's own: for these
there is no field that holds for every image, and some crash on a NaN. Before one of them runs, the probing ends.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_MARK = "_computed_from_the_image"
_OWN = {"aten", "prim", "prims"}
_BRANCHES = {"_local_scalar_dense", "is_nonzero", "item", "equal", "allclose"}
_REORDERS = {
    *("sort", "argsort", "topk", "kthvalue", "median", "nanmedian", "mode", "unique_dim", "_unique", "_unique2"),
    *("unique_consecutive", "nonzero", "masked_select", "nansum", "nanmean", "searchsorted", "bucketize", "histc"),
}
"""Where a value of the image decides the place of another, or a NaN is left out."""
_BRANCH = "a branch of its code depends on the image's values"
_LEAVES_TORCH = {Tensor.tolist, Tensor.numpy, Tensor.__array__}
_GRIDS = {"grid_sampler", "grid_sampler_2d", "grid_sampler_3d", "_grid_sampler_2d_cpu_fallback", "cudnn_grid_sampler"}
_HARMLESS = {
    *("_to_copy", "to", "copy", "copy_", "clone", "detach", "alias", "view", "_unsafe_view", "reshape", "expand"),
    *("permute", "transpose", "t", "unsqueeze", "squeeze", "slice", "select", "split", "split_with_sizes", "unbind"),
    *("cat", "stack", "flip", "roll", "sum", "any", "all", "amax", "amin", "max", "min", "constant_pad_nd", "cumsum"),
    *("repeat", "lift_fresh", "contiguous", "as_strided", "unfold", "argmax", "argmin", "zeros_like", "ones_like"),
    *("empty_like", "full_like", "new_zeros", "new_ones", "new_full", "mean", "count_nonzero", "slice_scatter"),
}
"""Operations through which a number or a mask that was computed from the image may go: they index nothing."""
_KEEPS_NAN = {
    *("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "neg", "exp", "log", "sqrt", "rsqrt", "tanh"),
    *("sigmoid", "sigmoid_", "silu", "silu_", "gelu", "relu", "relu_", "leaky_relu", "leaky_relu_", "pow"),
    *("hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min", "clamp_max", "hardswish", "hardswish_", "elu", "mish"),
    *("addcmul", "addcdiv", "erf", "reciprocal", "softplus", "isnan", "eq", "ne", "gt", "ge", "lt", "le"),
}
"""Pointwise operations that are known to keep a NaN, or whose result is no number."""


class UnseenError(Exception):
    """The network uses an operation that cannot be probed; the message says which and why."""


class StrictProbe(TorchDispatchMode):
    """While it is active, this thread's runs on an image that it follows keep every NaN, or end with `UnseenError`."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[int, torch.UntypedStorage] = {}
        self._escapes = _Escapes(self.follows)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch wraps this for its compiler, which it would import for that; nothing is compiled here."""
        return False

    def __enter__(self) -> Self:
        self._escapes.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._escapes.__exit__(*error)

    def follow(self, image: Tensor) -> Tensor:
        """Mark an image as the one to follow, on whose values no operation may act; returns it."""
        setattr(image, _MARK, True)
        return image

    def follows(self, tensor: Tensor) -> bool:
        """Whether a tensor was computed from the image, wholly or in a part that was written into it."""
        if hasattr(tensor, _MARK):
            return True
        return bool(self._written) and tensor.untyped_storage().data_ptr() in self._written

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        followed = [tensor for tensor in tensors if self.follows(tensor)]
        if not followed:
            return func(*args, **kwargs)
        kind = _kind(func)
        self._refuse(kind, args, followed)
        lost = _nan_of(tensors) if kind.may_lose_nan else None
        result = func(*args, **kwargs)
        for leaf in [result] if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                if lost is not None and leaf.is_floating_point() and leaf.shape == lost.shape:
                    leaf.masked_fill_(lost, torch.nan)
                if kind.writes and not self.follows(leaf):  # the buffer that it is a view of now holds the image, too
                    self._written[leaf.untyped_storage().data_ptr()] = leaf.untyped_storage()
                setattr(leaf, _MARK, True)
        return result

    def _refuse(self, kind: "_Kind", args: tuple, followed: list[Tensor]) -> None:
        if kind.reason:
            raise UnseenError(kind.reason)
        if kind.name in _GRIDS and len(args) > 1 and self.follows(args[1]):
            raise UnseenError(f"{kind.name} reads where the image's values say")
        if kind.indexes and any(not (each.is_floating_point() or each.is_complex()) for each in followed):
            raise UnseenError(f"{kind.name} reads where the image's values say")


@dataclass(frozen=True)
class _Kind:
    """What an operation does to a NaN, and to a number or a mask that was computed from the image."""

    name: str
    reason: str
    may_lose_nan: bool
    indexes: bool
    writes: bool


@lru_cache(maxsize=4096)
def _kind(func: Any) -> _Kind:
    name = func.overloadpacket.__name__
    pointwise = torch.Tag.pointwise in func.tags or name in ("where", "masked_fill", "masked_fill_")
    reason = ""
    if func.namespace not in _OWN:
        reason = f"{func.namespace}::{name} is an operation that cannot be looked into"
    elif name in _BRANCHES:
        reason = _BRANCH
    elif name in _REORDERS:
        reason = f"{name} orders or leaves out values by their size"
    writes = any(argument.is_write for argument in func._schema.arguments)  # noqa: SLF001 - torch offers no other
    return _Kind(name, reason, pointwise and name not in _KEEPS_NAN, not pointwise and name not in _HARMLESS, writes)


class _Escapes(TorchFunctionMode):
    """Ends the probing where values of the image leave torch: what is done with them there cannot be seen."""

    def __init__(self, follows: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self._follows = follows

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _LEAVES_TORCH and args and isinstance(args[0], Tensor) and self._follows(args[0]):
            raise UnseenError(_BRANCH)
        return func(*args, **(kwargs or {}))


def _nan_of(tensors: list[Tensor]) -> Tensor | None:
    """Bool: where any of the operands of a pointwise operation is NaN."""
    found: Tensor | None = None
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.ndim:
            nan = tensor.isnan()
            found = nan if found is None else found | nan
    if found is None:
        return None
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))  # torch's own imports a compiler for it
    return found.expand(shape) if bool(found.any()) else None
