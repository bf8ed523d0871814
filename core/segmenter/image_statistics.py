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

from ..errors import UserError

_REDUCTIONS = {
    *("mean", "sum", "var", "std", "var_mean", "std_mean", "amax", "amin", "norm", "vector_norm", "logsumexp"),
    *("adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices", "avg_pool2d"),
}
_FEWEST_TO_ONE = 4
"""Values that become one: below, a reduction is taken for a local one."""
_MOST_VALUES = 2**13
"""A reduction that leaves more is no statistic that a factor could be made of."""

Replace = Callable[[int, "Tensor | None"], Tensor]


class StatisticsChangedError(Exception):
    """A run of the network took another way than the one in which its statistics were found."""


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
        if (norm := _NORMS.get(name)) is not None:
            described = norm(*args, **kwargs)
            if described is not None:
                self._place += 1
                return self.normalised(func, described, args, kwargs)
        elif name in _REDUCTIONS and args and isinstance(args[0], Tensor) and args[0].ndim > 2:
            self._place += 1
            return self.reduced(func, args, kwargs)
        return func(*args, **kwargs)

    def normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        """The result of a normalisation over the image."""
        raise NotImplementedError

    def reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
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

    def normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        if not norm.values.requires_grad:
            return func(*args, **kwargs)
        statistic = self._found[self._place] = norm.statistic()
        return norm.applied(statistic)

    def reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
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

    def normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        held = self._held.get(self._place)
        return func(*args, **kwargs) if held is None else norm.applied(held)

    def reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        held = self._held.get(self._place)
        if held is None:
            return func(*args, **kwargs)
        return tuple(held.unbind()) if getattr(func, "__name__", "") in {"var_mean", "std_mean"} else held


class LeaveOutStatistics(ImageStatistics):
    """Runs a network of any size of image without what these statistics bring: for probing what is left."""

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self._places = statistics.values.keys()

    def normalised(self, func: Callable, norm: "_Norm", args: tuple, kwargs: dict[str, Any]) -> Tensor:
        if self._place not in self._places:
            return func(*args, **kwargs)
        statistic = torch.zeros_like(norm.statistic())
        statistic[1] = 1
        return norm.applied(statistic)

    def reduced(self, func: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
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


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
    *_: Any, **__: Any,
) -> _Norm | None:  # fmt: skip
    return _Norm(input, num_groups, weight, bias, eps) if input.ndim > 2 else None


def _instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None, weight: Tensor | None = None,
    bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
    *_: Any, **__: Any,
) -> _Norm | None:  # fmt: skip
    return _Norm(input, input.shape[1], weight, bias, eps) if use_input_stats and input.ndim > 2 else None


def _batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *_: Any, **__: Any,
) -> _Norm | None:  # fmt: skip
    return _instance_norm(input, None, None, weight, bias, training and len(input) == 1, momentum, eps)


def _layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, *_: Any, **__: Any,
) -> _Norm | None:  # fmt: skip
    over_image = input.ndim > 2 and len(normalized_shape) == input.ndim - 1
    return _Norm(input, 1, weight, bias, eps) if over_image else None


_NORMS: dict[str, Callable[..., _Norm | None]] = {
    "group_norm": _group_norm, "instance_norm": _instance_norm, "batch_norm": _batch_norm, "layer_norm": _layer_norm,
}  # fmt: skip
