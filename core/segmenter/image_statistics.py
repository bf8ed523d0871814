"""Statistics over the image inside a network: means and variances of normalisations, pooled values.

Where statistics over the whole image are all that couples distant pixels, a network is y = f(x, s(x)) with a finite
vector s: `ImageStatistics` finds s while the network runs, and runs it with s held. What is left is local.

A fused normalisation is taken apart into its statistics and a pointwise step, which rounds a little differently.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_REDUCTIONS = {
    *("mean", "sum", "var", "std", "var_mean", "std_mean", "amax", "amin", "norm", "vector_norm", "logsumexp"),
    *("adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices", "avg_pool2d"),
}
_NO_IMAGE = 2
"""Dimensions of (B, C), which have no image."""
_FEWEST_TO_ONE = 4
"""Values that become one: below, a reduction is taken for a local one."""
_MOST_VALUES = 2**13
"""A reduction that leaves more is no statistic that a factor could be made of."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """The statistics of one run.

    Attributes:
        values: Tensor of each place in the order of the run, by its number among the reductions of the run.
    """

    values: Mapping[int, Tensor]

    def __len__(self) -> int:
        return sum(value.numel() for value in self.values.values())

    def detached(self) -> "Statistics":
        """The same values as constants."""
        return Statistics({place: value.detach() for place, value in self.values.items()})


class ImageStatistics(TorchFunctionMode):
    """Base of the three ways to run a network: finding its statistics, holding them, and leaving them out."""

    def __init__(self) -> None:
        super().__init__()
        self._place = -1

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in _ARGUMENTS:
            norm = _norm_of(name, args, kwargs)
            if norm is not None:
                self._place += 1
                return self._normalised(func, norm, args, kwargs)
        elif name in _REDUCTIONS and args and isinstance(args[0], Tensor) and args[0].ndim > _NO_IMAGE:
            self._place += 1
            return self._reduced(func, args, kwargs)
        return func(*args, **kwargs)

    def _normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        """The result of a normalisation over the image."""
        raise NotImplementedError

    def _reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The result of a reduction."""
        raise NotImplementedError


class FindStatistics(ImageStatistics):
    """Runs the network as it is and keeps its statistics, which stay in the autograd graph."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, Tensor] = {}

    @property
    def statistics(self) -> Statistics:
        """What was found so far."""
        return Statistics(self._found)

    def _normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        if not norm.values.requires_grad:
            return func(*args, **kwargs)
        statistic = self._found[self._place] = norm.statistic()
        return norm.applied(statistic)

    def _reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        many = result if isinstance(result, tuple) else (result,)
        values = sum(each.numel() for each in many)
        if (
            args[0].requires_grad
            and values <= _MOST_VALUES
            and _FEWEST_TO_ONE * values <= args[0].numel()
            and all(each.is_floating_point() for each in many)
        ):
            self._found[self._place] = result if isinstance(result, Tensor) else torch.stack(many)
            if isinstance(result, tuple):
                return type(result)(self._found[self._place].unbind())
        return result


class HoldStatistics(ImageStatistics):
    """Runs the network with these statistics, whatever the image: what it gives is local in the image."""

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self._held = statistics.values

    def _normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        held = self._held.get(self._place)
        return func(*args, **kwargs) if held is None else norm.applied(held)

    def _reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        held = self._held.get(self._place)
        if held is None:
            return func(*args, **kwargs)
        return tuple(held.unbind()) if getattr(func, "__name__", "") in {"var_mean", "std_mean"} else held


class LeaveOutStatistics(ImageStatistics):
    """Runs a network of any size of image without what these statistics bring: for probing what is left."""

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self._places = statistics.values.keys()

    def _normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        if self._place not in self._places:
            return func(*args, **kwargs)
        statistic = torch.zeros_like(norm.statistic())
        statistic[1] = 1
        return norm.applied(statistic)

    def _reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if self._place not in self._places:
            return result
        return torch.zeros_like(result) if isinstance(result, Tensor) else type(result)(map(torch.zeros_like, result))


@dataclass(frozen=True, eq=False)
class _Norm:
    """A normalisation over the image.

    Attributes:
        values: What is normalised, (B, C, …).
        groups: Number of groups of channels, each with a mean and a variance.
        weight: Factor per channel or of the shape of an image; None for 1.
        bias: Term added, likewise; None for 0.
        eps: Added to the variance.
    """

    values: Tensor
    groups: int
    weight: Tensor | None
    bias: Tensor | None
    eps: float

    def statistic(self) -> Tensor:
        """Means and variances, (2, B, groups, 1)."""
        variance, mean = torch.var_mean(self._grouped(), dim=-1, correction=0, keepdim=True)
        return torch.stack((mean, variance))

    def applied(self, statistic: Tensor) -> Tensor:
        """The values normalised by means and variances."""
        mean, variance = statistic
        result = ((self._grouped() - mean) * torch.rsqrt(variance + self.eps)).reshape(self.values.shape)
        for parameter, apply in ((self.weight, torch.mul), (self.bias, torch.add)):
            if parameter is not None:
                is_per_channel = parameter.ndim == 1
                result = apply(result, parameter.view(-1, *(1,) * (result.ndim - 2)) if is_per_channel else parameter)
        return result

    def _grouped(self) -> Tensor:
        return self.values.reshape(len(self.values), self.groups, -1)


_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "instance_norm": (
        "input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps",
    ),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
}  # fmt: skip
"""The arguments of torch's normalisations, in order."""


def _norm_of(name: str, args: tuple, kwargs: Mapping[str, Any]) -> _Norm | None:
    """The normalisation that a call makes; None where it is not over the image."""
    given = dict(zip(_ARGUMENTS[name], args, strict=False)) | dict(kwargs)
    values = given["input"]
    if values.ndim <= _NO_IMAGE:
        return None
    over_image = {
        "group_norm": True,
        "instance_norm": given.get("use_input_stats", True),
        "batch_norm": given.get("training", False) and len(values) == 1,
        "layer_norm": len(given.get("normalized_shape", ())) == values.ndim - 1,
    }[name]
    groups = {"group_norm": given.get("num_groups", 1), "layer_norm": 1}.get(name, values.shape[1])
    return _Norm(values, groups, given.get("weight"), given.get("bias"), given.get("eps", 1e-5)) if over_image else None
