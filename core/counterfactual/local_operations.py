"""Operations whose output depends on the pixels near by only: how a part of their output is computed again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Span = tuple[int, int]
"""Begin and end of rows or columns."""
Spans = tuple[Span, Span]
"""Rows and columns of a tensor (B, C, h, w)."""


class NotRecordableError(Exception):
    """The run cannot be recorded, or not be repeated in parts; the reason is for developers."""


@dataclass(frozen=True, eq=False)
class Part:
    """An operation that is to be brought up to date.

    Attributes:
        changed: What has changed, by the `id` of the tensor.
        result: What the operation gave; it is written to.
        before: The first input as it was before the operation wrote to it, for one that does.
        args: The operation's.
        kwargs: The operation's.
    """

    changed: Mapping[int, Spans]
    result: Tensor
    before: Tensor | None
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    def spans(self, tensor: Tensor) -> Spans | None:
        """What has changed of an input."""
        return self.changed.get(id(tensor))


Renew = Callable[[Part], Spans | None]
"""Brings the result of an operation up to date and returns where it has changed; None where nothing has."""


@dataclass(frozen=True)
class Local:
    """How to renew an operation.

    Attributes:
        renew: See there.
        needs_before: Whether it needs the first input as it was before the operation wrote to it.
    """

    renew: Renew
    needs_before: bool = False


def tensors_in(values: Any) -> list[Tensor]:
    """The tensors among arguments or results, and in their lists."""
    found = []
    for value in values if isinstance(values, list | tuple) else [values]:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += tensors_in(value)
    return found


def cut(tensor: Tensor, spans: Spans) -> Tensor:
    """A view of rows and columns."""
    (top, bottom), (left, right) = spans
    return tensor[..., top:bottom, left:right]


def _hull(spans: Sequence[Spans]) -> Spans:
    rows, columns = [each[0] for each in spans], [each[1] for each in spans]
    return _around(rows), _around(columns)


def _around(spans: Sequence[Span]) -> Span:
    return min(span[0] for span in spans), max(span[1] for span in spans)


def _size(tensor: Tensor) -> tuple[int, int]:
    return tensor.shape[-2], tensor.shape[-1]


def writes(operation: Any) -> bool:
    """Whether an operation writes to one of its inputs."""
    return bool(operation._schema.is_mutable)  # noqa: SLF001 - there is no public way


def _pointwise(operation: Any) -> Renew:
    """Each output pixel depends on the same pixel of the inputs, which are of its size or a single pixel."""

    def renew(part: Part) -> Spans | None:
        size, target = _size(part.result), part.args[0] if writes(operation) else None
        inputs = tensors_in((*part.args, *part.kwargs.values()))
        changed = {id(tensor): spans for tensor in inputs if (spans := part.spans(tensor))}
        of_size = {id(tensor) for tensor in inputs if tensor.dim() == 4 and _size(tensor) == size}
        if part.result.dim() != 4 or not of_size.issuperset(changed):
            raise NotRecordableError(f"{operation} mixes sizes")
        if part.before is not None and (fresh := part.spans(part.args[0])):
            cut(part.before, fresh).copy_(cut(part.args[0], fresh))
        hull = _hull(list(changed.values()))

        def piece(value: Any) -> Any:
            if value is target and isinstance(value, Tensor):
                return cut(value if part.before is None else part.before, hull).clone()
            if isinstance(value, list | tuple):
                return [piece(each) for each in value]
            return cut(value, hull) if id(value) in of_size else value

        new = operation(*map(piece, part.args), **{name: piece(value) for name, value in part.kwargs.items()})
        cut(part.result, hull).copy_(new if isinstance(new, Tensor) else new[0])
        return hull

    return renew


def _same_view(part: Part) -> Spans | None:
    """The result is the input's memory."""
    return part.spans(part.args[0])


def _slice(part: Part) -> Spans | None:
    """Some rows, columns or channels: also a view."""
    values = dict(zip(("source", "dim", "start", "end", "step"), part.args, strict=False)) | dict(part.kwargs)
    source, dim, start = values["source"], values.get("dim", 0), values.get("start")
    if source.dim() != 4 or values.get("step", 1) != 1:
        raise NotRecordableError("a slice with steps")
    spans, axis = part.spans(source), dim % 4 - 2
    if spans is None or axis < 0:
        return spans
    start = start or 0
    begin = min(max(start + source.shape[dim], 0) if start < 0 else start, source.shape[dim])
    moved = [(low - begin, high - begin) if place == axis else (low, high) for place, (low, high) in enumerate(spans)]
    return _inside((moved[0], moved[1]), part.result)


def _pad(part: Part) -> Spans | None:
    """Constants around the image."""
    spans, pad = part.spans(part.args[0]), [*part.args[1], 0, 0]
    if spans is None or part.result.dim() != 4 or any(pad[4:]):
        raise NotRecordableError("padding of channels")
    (top, bottom), (left, right) = spans
    outputs = _inside(((top + pad[2], bottom + pad[2]), (left + pad[0], right + pad[0])), part.result)
    if outputs is not None:
        (top, bottom), (left, right) = outputs
        inputs = (top - pad[2], bottom - pad[2]), (left - pad[0], right - pad[0])
        cut(part.result, outputs).copy_(cut(part.args[0], inputs))
    return outputs


def _inside(spans: Spans, tensor: Tensor) -> Spans | None:
    rows, columns = (_within(span, length) for span, length in zip(spans, _size(tensor), strict=True))
    return None if rows is None or columns is None else (rows, columns)


def _within(span: Span, length: int) -> Span | None:
    start, stop = max(span[0], 0), min(span[1], length)
    return (start, stop) if start < stop else None


@dataclass(frozen=True)
class _Kernel:
    """One axis of a window that slides over the input."""

    size: int
    stride: int
    padding: int
    dilation: int

    @property
    def reach(self) -> int:
        return (self.size - 1) * self.dilation

    def reached(self, span: Span, length: int) -> Span | None:
        """Outputs that see a span of the input."""
        first = -(-(span[0] + self.padding - self.reach) // self.stride)
        return _within((first, (span[1] - 1 + self.padding) // self.stride + 1), length)

    def needed(self, outputs: Span) -> Span:
        """Inputs that outputs see; those before 0 and after the end are padding."""
        start = outputs[0] * self.stride - self.padding
        return start, (outputs[1] - 1) * self.stride - self.padding + self.reach + 1


def _kernels(size: Sequence[int], stride: Any, padding: Any, dilation: Any) -> tuple[_Kernel, _Kernel]:
    each = [_pair(value) for value in (size, stride, padding, dilation)]
    return _Kernel(*(value[0] for value in each)), _Kernel(*(value[1] for value in each))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _slide(part: Part, kernels: tuple[_Kernel, _Kernel], fill: float, run: Callable[[Tensor], Tensor]) -> Spans | None:
    """Run a window over the part of the input that the changed outputs see."""
    source, result = part.args[0], part.result
    spans = part.spans(source)
    if spans is None or result.dim() != 4:
        raise NotRecordableError("something but the image has changed")
    rows, columns = map(_Kernel.reached, kernels, spans, _size(result))
    if rows is None or columns is None:
        return None
    inside, around = [], []
    for kernel, outputs, length in zip(kernels, (rows, columns), _size(source), strict=True):
        start, stop = kernel.needed(outputs)
        inside.append((max(start, 0), min(stop, length)))
        around.append([max(-start, 0), max(stop - length, 0)])
    piece = cut(source, (inside[0], inside[1]))
    if any(map(any, around)):
        piece = F.pad(piece, [*around[1], *around[0]], value=fill)
    cut(result, (rows, columns)).copy_(run(piece))
    return rows, columns


def _convolution(part: Part) -> Spans | None:
    source, weight, bias, stride, padding, dilation, transposed, _, groups = part.args
    if part.spans(source) is None or len(weight.shape) != 4:
        raise NotRecordableError("something but an image has changed")
    if transposed:
        return _transposed(part)
    kernels = _kernels(weight.shape[2:], stride, padding, dilation)
    return _slide(part, kernels, 0.0, lambda piece: F.conv2d(piece, weight, bias, stride, 0, dilation, groups))


def _transposed(part: Part) -> Spans | None:
    source, weight, bias, stride, padding, dilation, _, _, groups = part.args
    spans, result = part.spans(source), part.result
    if spans is None:
        return None
    kernels = _kernels(weight.shape[2:], stride, padding, dilation)
    outputs = _inside((kernels[0].needed(spans[0]), kernels[1].needed(spans[1])), result)  # the other way round
    if outputs is None:
        return None
    inputs, there = [], []
    for kernel, (start, stop), length in zip(kernels, outputs, _size(source), strict=True):
        first = max(-(-(start + kernel.padding - kernel.reach) // kernel.stride), 0)
        inputs.append((first, min((stop - 1 + kernel.padding) // kernel.stride + 1, length)))
        offset = first * kernel.stride - kernel.padding
        there.append((start - offset, stop - offset))
    new = F.conv_transpose2d(cut(source, (inputs[0], inputs[1])), weight, bias, stride, 0, 0, groups, dilation)
    cut(result, outputs).copy_(cut(new, (there[0], there[1])))
    return outputs


def _max_pool(part: Part) -> Spans | None:
    values: dict[str, Any] = dict(zip(("stride", "padding", "dilation", "ceil"), part.args[2:], strict=False))
    size = _pair(part.args[1])
    if values.get("ceil"):
        raise NotRecordableError("pooling that rounds up")
    stride, dilation = values.get("stride") or size, values.get("dilation", 1)
    kernels = _kernels(size, stride, values.get("padding", 0), dilation)
    return _slide(part, kernels, -torch.inf, lambda piece: F.max_pool2d(piece, size, stride, 0, dilation))


def _average_pool(part: Part) -> Spans | None:
    values: dict[str, Any] = dict(zip(("stride", "padding", "ceil", "counted", "divisor"), part.args[2:], strict=False))
    size = _pair(part.args[1])
    if values.get("ceil") or any(_pair(values.get("padding", 0))) or values.get("divisor") is not None:
        raise NotRecordableError("pooling with another number of pixels at the border")
    stride = values.get("stride") or size
    return _slide(part, _kernels(size, stride, 0, 1), 0.0, lambda piece: F.avg_pool2d(piece, size, stride))


def _enlarge(mode: str) -> Renew:
    """A whole number of times larger; "bilinear" blends two neighbours along each axis."""
    halo = int(mode == "bilinear")

    def renew(part: Part) -> Spans | None:
        source, result = part.args[0], part.result
        spans, lengths = part.spans(source), _size(source)
        times = [new // old for new, old in zip(_size(result), lengths, strict=True)]
        is_aligned = mode == "bilinear" and part.args[2]
        if spans is None or is_aligned or _size(result) != tuple(map(mul, times, lengths)):
            raise NotRecordableError("another grid")
        changed = _grown(spans, halo, lengths)
        needed = _grown(changed, halo, lengths)
        new = F.interpolate(cut(source, needed), scale_factor=[float(each) for each in times], mode=mode)
        outputs, there = [], []
        for (start, stop), (first, _), by in zip(changed, needed, times, strict=True):
            outputs.append((start * by, stop * by))
            there.append(((start - first) * by, (stop - first) * by))
        cut(result, (outputs[0], outputs[1])).copy_(cut(new, (there[0], there[1])))
        return outputs[0], outputs[1]

    return renew


def _grown(spans: Spans, by: int, lengths: tuple[int, int]) -> Spans:
    rows, columns = (
        (max(low - by, 0), min(high + by, length)) for (low, high), length in zip(spans, lengths, strict=True)
    )
    return rows, columns


def _batch_norm(operation: Any) -> Renew:
    """With running statistics each pixel for itself."""
    names = [argument.name for argument in operation._schema.arguments]  # noqa: SLF001
    renew = _pointwise(operation)

    def renewed(part: Part) -> Spans | None:
        if dict(zip(names, part.args, strict=False)).get("training"):
            raise NotRecordableError("batch statistics")
        return renew(part)

    return renewed


def _over_channels(operation: Any) -> Renew:
    """Over channels only: each pixel for itself."""
    renew = _pointwise(operation)

    def renewed(part: Part) -> Spans | None:
        dim = part.args[1] if len(part.args) > 1 else part.kwargs.get("dim", 0)
        if part.result.dim() != 4 or dim % 4 != 1:
            raise NotRecordableError("not along the channels")
        return renew(part)

    return renewed


_POINTWISE = (
    "relu", "relu_", "relu6", "sigmoid", "sigmoid_", "tanh", "tanh_", "silu",
    "silu_", "gelu", "elu", "elu_", "leaky_relu", "leaky_relu_", "hardtanh", "hardtanh_",
    "hardswish", "hardswish_", "hardsigmoid", "hardsigmoid_", "mish", "mish_", "softplus", "celu",
    "selu", "_prelu_kernel", "clamp", "clamp_", "clamp_min", "clamp_min_", "clamp_max", "exp",
    "log", "sqrt", "square", "abs", "neg", "add", "add_", "sub",
    "sub_", "rsub", "mul", "mul_", "div", "div_", "pow", "clone",
    "_to_copy", "zeros_like", "ones_like"
)  # fmt: skip
_OF_TWO_IN_PLACE = ("add_", "sub_", "mul_", "div_")
_OVERLOADS = ("default", "Tensor", "Scalar", "Tensor_Scalar", "int", "vec")


def _known() -> dict[Any, Local]:
    """What is known, by operation; versions of PyTorch differ in what they have."""
    rules: dict[str, Callable[[Any], Renew]] = dict.fromkeys(_POINTWISE, _pointwise)
    rules |= dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm)
    rules |= dict.fromkeys(("cat", "_softmax", "_log_softmax"), _over_channels)
    renewals: dict[str, Renew] = {
        "detach": _same_view, "alias": _same_view, "slice": _slice, "constant_pad_nd": _pad,
        "convolution": _convolution, "max_pool2d_with_indices": _max_pool, "avg_pool2d": _average_pool,
        "upsample_nearest2d": _enlarge("nearest"), "upsample_bilinear2d": _enlarge("bilinear"),
    }  # fmt: skip
    known: dict[Any, Local] = {}
    for name in (*rules, *renewals):
        packet = getattr(torch.ops.aten, name, None)
        for overload in packet.overloads() if packet else ():
            operation = getattr(packet, overload)
            if overload in _OVERLOADS:
                renew = renewals[name] if name in renewals else rules[name](operation)
                known[operation] = Local(renew, name in _OF_TWO_IN_PLACE)
    return known


LOCAL = _known()
"""By operation of PyTorch's ATen."""
