"""The structural receptive field: which input pixels can reach which output pixels at all.

It is found by probing. A NaN put into the input comes out at every output that has any path from it, whatever the
weights and the layers in between (`StrictProbe` ensures that). Whole lines of the image are probed, so what is found
for an axis is the projection of the support onto it: the window rows × columns that holds the support, never less than
it.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, explained_differentiation, is_out_of_memory
from ..segmenter import Segmenter
from ..segmenter.examination import REFUSALS
from ..segmenter.image_statistics import LeaveOutStatistics, Statistics
from .probe_mode import StrictProbe, UnseenError

_STRIP = 16
"""Width of the canvas on which the lines of the other axis are probed; the result is checked at full size."""
_BLOCK = 16
_LARGE_CANVAS = 1024
_PROBED_PIXELS = 2**18

Reach = Callable[[np.ndarray], np.ndarray]
"""Masks (M, N) of probed input lines -> (M, N), the output lines that each mask reaches."""


@dataclass(frozen=True, eq=False)
class AxisSupport:
    """For each output position on an axis of N pixels, the first and the last input position that can reach it.

    Attributes:
        first: int (N,).
        last: int (N,), inclusive.
    """

    first: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    @property
    def before(self) -> int:
        """The furthest that any position looks back, in pixels."""
        return int((np.arange(len(self)) - self.first).max())

    @property
    def after(self) -> int:
        """The furthest that any position looks ahead, in pixels."""
        return int((self.last - np.arange(len(self))).max())

    @classmethod
    def whole(cls, length: int) -> "AxisSupport":
        """Every position is reached from everywhere."""
        return cls(np.zeros(length, np.int64), np.full(length, length - 1, np.int64))


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """The structural receptive field of every output pixel of an image of one size.

    Attributes:
        rows: The support of each output row. It differs by the phase of the network's stride and is cut at the border.
        columns: Likewise for each output column.
        dense: Whether every pixel reaches every other by design (global pooling, attention, instance normalisation),
            or may do so.
        reason: Why every pixel may reach every other where that could not be found out; else empty.
    """

    rows: AxisSupport
    columns: AxisSupport
    dense: bool = False
    reason: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return len(self.rows), len(self.columns)

    @property
    def up(self) -> int:
        """The furthest that an output pixel looks up, in pixels; likewise down, left and right."""
        return self.rows.before

    @property
    def down(self) -> int:
        """See `up`."""
        return self.rows.after

    @property
    def left(self) -> int:
        """See `up`."""
        return self.columns.before

    @property
    def right(self) -> int:
        """See `up`."""
        return self.columns.after

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of a row's own pixel in an array of `centred_shape`."""
        return self.up, self.left

    @property
    def centred_shape(self) -> tuple[int, int]:
        """Size of an array in which every row of the Jacobian fits when it is centred on its pixel."""
        return self.up + self.down + 1, self.left + self.right + 1

    def window(self, row: int, column: int) -> tuple[slice, slice]:
        """Rows and columns of the image that can reach the output pixel (row, column)."""
        return (
            slice(int(self.rows.first[row]), int(self.rows.last[row]) + 1),
            slice(int(self.columns.first[column]), int(self.columns.last[column]) + 1),
        )

    @classmethod
    def whole(cls, size: tuple[int, int], *, dense: bool = True, reason: str = "") -> "ReceptiveField":
        """Every pixel reaches every other."""
        return cls(AxisSupport.whole(size[0]), AxisSupport.whole(size[1]), dense, reason)


_known: WeakKeyDictionary[Segmenter, dict[tuple[int, int], ReceptiveField]] = WeakKeyDictionary()


def receptive_field(segmenter: Segmenter, size: tuple[int, int]) -> ReceptiveField | Literal["dense"]:
    """The structural receptive field for images of `size` (height, width), or "dense" if one pixel reaches all.

    A network whose field is only larger than this image is not dense: its extents are given, cut at the border.

    Raises:
        UserError: A size that the network cannot take.
    """
    field = structural_support(segmenter, size)
    return "dense" if field.dense else field


def field_in_words(field: "ReceptiveField | Literal['dense']") -> str:
    """How far a receptive field reaches."""
    if isinstance(field, str):
        return "dense: every pixel reaches every other, as by global pooling or attention"
    return f"{field.up} rows up, {field.down} down, {field.left} columns left, {field.right} right at most"


def structural_support(segmenter: Segmenter, size: tuple[int, int]) -> ReceptiveField:
    """The same as `receptive_field`, with a dense network's field given as the whole image."""
    if min(size) < 1:
        raise UserError(f"An image has at least one row and one column; {size[0]}×{size[1]} was given.")
    known = _known.setdefault(segmenter, {})
    if size not in known:
        segmenter.findings(size)
        # Under the lock, so that nobody who reads the module's activations meanwhile sees a probe's.
        with segmenter.lock:
            known[size] = _support(segmenter, size)
    return known[size]


def support_without(segmenter: Segmenter, size: tuple[int, int], statistics: Statistics) -> ReceptiveField:
    """The structural receptive field of what is left of a network while these statistics over the image are held."""
    with segmenter.lock:
        return _support(_WithoutStatistics(segmenter, statistics), size)


class _Probed(Protocol):
    """What is probed of a segmenter."""

    in_channels: int
    device: torch.device

    def unchecked_logits(self, batch: Tensor) -> Tensor: ...


class _WithoutStatistics:
    """A segmenter that runs without what its statistics over the image bring."""

    def __init__(self, segmenter: Segmenter, statistics: Statistics) -> None:
        self.in_channels, self.device = segmenter.in_channels, segmenter.device
        self._segmenter, self._statistics = segmenter, statistics

    def unchecked_logits(self, batch: Tensor) -> Tensor:
        height, width = batch.shape[-2:]
        self._segmenter.canvas(height, width)  # which runs the network to find one, the first time
        at_once = len(batch) if self._segmenter.findings((height, width)).independent else 1
        logits = []
        for images in batch.split(at_once):
            with LeaveOutStatistics(self._statistics):
                logits.append(self._segmenter.unchecked_logits(images))
        return torch.cat(logits)


def _support(segmenter: _Probed, size: tuple[int, int]) -> ReceptiveField:
    try:
        with torch.no_grad(), _exact_kernels(segmenter.device):
            field = _probe(segmenter, size)
    except UnseenError as error:
        field = ReceptiveField.whole(size, reason=str(error))
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        field = ReceptiveField.whole(size, reason="it fails on the NaN that probes it")
    if not field.dense and not _gradients_stay_inside(segmenter, field):
        field = ReceptiveField.whole(size, reason="gradients leave the field that probing finds")
    return field


def _probe(segmenter: _Probed, size: tuple[int, int]) -> ReceptiveField:
    if _corners_reach_everything(segmenter, size):
        return ReceptiveField.whole(size, dense=_is_global(segmenter))
    return ReceptiveField(_probe_axis(segmenter, size, 0), _probe_axis(segmenter, size, 1))


def _probe_axis(segmenter: _Probed, size: tuple[int, int], axis: int) -> AxisSupport:
    """Probed on a narrow strip, which is fast; at full size where the strip is refused or turns out to differ."""
    strip = _canvas(size, axis, min(size[1 - axis], _STRIP))
    full_size_reach = _reach(segmenter, size, axis)
    with contextlib.suppress(*REFUSALS):
        support = _axis_support(_reach(segmenter, strip, axis), size[axis])
        if _holds(support, full_size_reach):
            return support
    return _axis_support(full_size_reach, size[axis])


def _reach(segmenter: _Probed, size: tuple[int, int], axis: int) -> Reach:
    """Probing lines along `axis` (0: rows, 1: columns) on a canvas of `size`."""
    noise = np.random.default_rng(0).random((segmenter.in_channels, *size), dtype=np.float32)
    background = torch.from_numpy(noise).to(segmenter.device)
    at_once = max(1, _PROBED_PIXELS // (size[0] * size[1]))

    def reach(masks: np.ndarray) -> np.ndarray:
        reached = []
        for start in range(0, len(masks), at_once):
            probed = torch.from_numpy(masks[start : start + at_once]).to(segmenter.device)
            probed = probed[:, None, :, None] if axis == 0 else probed[:, None, None, :]
            outputs = _reached(segmenter, torch.where(probed, torch.nan, background[None]))
            reached.append(outputs.any(dim=2 - axis).cpu().numpy())
        return np.concatenate(reached)

    return reach


def _axis_support(reach: Reach, length: int) -> AxisSupport:
    """First and last input line of each output line.

    Half-planes bound each interval to whole blocks. Combs whose teeth stand further apart than any bounded interval
    is long then decide every single line: an output line that is reached can only have been reached by the one tooth
    inside its bounds.
    """
    positions = np.arange(length)
    edges = np.arange(0, length, _BLOCK)
    from_edge = reach(positions >= edges[:, None])
    until_edge = reach(positions < np.append(edges[1:], length)[:, None])
    lower = edges[until_edge.argmax(axis=0)]
    upper = np.minimum(edges[len(edges) - 1 - from_edge[::-1].argmax(axis=0)] + _BLOCK, length) - 1
    period = int(min((upper - lower).max() + 1, length))
    phases = np.arange(period)
    reached = reach(positions % period == phases[:, None])
    tooth = lower + (phases[:, None] - lower) % period
    hit = reached & (tooth <= upper)
    first = np.where(hit, tooth, length).min(axis=0)
    last = np.where(hit, tooth, -1).max(axis=0)
    untouched = last < 0
    return AxisSupport(np.where(untouched, positions, first), np.where(untouched, positions, last))


def _holds(support: AxisSupport, reach: Reach) -> bool:
    """Whether combs that stand closer reach nothing that the support does not hold."""
    length = len(support)
    positions = np.arange(length)
    spacing = int((support.last - support.first).max()) + 2
    offsets = np.random.default_rng(1).integers(0, spacing, size=2)
    masks = np.stack([positions % spacing == offset for offset in offsets])
    inside = (positions >= support.first[:, None]) & (positions <= support.last[:, None])
    return not bool((reach(masks) & ~(masks @ inside.T)).any())


def _corners_reach_everything(segmenter: _Probed, size: tuple[int, int]) -> bool:
    image = torch.full((1, segmenter.in_channels, *size), 0.5, device=segmenter.device)
    first, last = image.clone(), image.clone()
    first[..., 0, 0] = torch.nan
    last[..., -1, -1] = torch.nan
    return all(bool(_reached(segmenter, probe).all()) for probe in (first, last))


def _is_global(segmenter: _Probed) -> bool:
    """Whether, on a canvas much larger than any usual receptive field, one end still reaches the other."""
    for axis in (0, 1):
        mask = np.zeros((1, _LARGE_CANVAS), dtype=bool)
        mask[0, 0] = True
        try:
            reached = _reach(segmenter, _canvas((_LARGE_CANVAS, _LARGE_CANVAS), axis, _STRIP), axis)(mask)
        except REFUSALS:
            return True
        if not reached[0, -1]:
            return False
    return True


def _gradients_stay_inside(segmenter: _Probed, field: ReceptiveField) -> bool:
    """Whether no gradient leaves the support; it would if some layer lost the NaN that probed it."""
    height, width = field.size
    halves = (
        (slice(0, max(height // 2, 1)), slice(None)),
        (slice(height // 2, None), slice(None)),
        (slice(None), slice(0, max(width // 2, 1))),
        (slice(None), slice(width // 2, None)),
    )
    noise = np.random.default_rng(2).random((1, segmenter.in_channels, height, width), dtype=np.float32)
    with torch.enable_grad():
        image = torch.from_numpy(noise).to(segmenter.device).requires_grad_()
        with _exact_kernels(segmenter.device):
            logits = segmenter.unchecked_logits(image)
            weights = torch.linspace(1.0, 2.0, logits.shape[1], device=logits.device).view(-1, 1, 1)
            for rows, columns in halves:
                outputs = torch.zeros_like(logits)
                outputs[:, :, rows, columns] = weights
                with explained_differentiation():
                    (gradient,) = torch.autograd.grad(logits, image, outputs, retain_graph=True, materialize_grads=True)
                inside_rows = slice(field.rows.first[rows].min(), field.rows.last[rows].max() + 1)
                inside_columns = slice(field.columns.first[columns].min(), field.columns.last[columns].max() + 1)
                gradient[:, :, inside_rows, inside_columns] = 0
                if gradient.any():
                    return False
    return True


def _reached(segmenter: _Probed, batch: Tensor) -> Tensor:
    """Output pixels (B, H, W) where any class is NaN."""
    with StrictProbe() as probe:
        logits = segmenter.unchecked_logits(probe.follow(batch))
    return logits.isnan().any(dim=1)


def _canvas(size: tuple[int, int], axis: int, across: int) -> tuple[int, int]:
    return (size[0], across) if axis == 0 else (across, size[1])


def _exact_kernels(device: torch.device) -> contextlib.AbstractContextManager:
    """Without cuDNN, whose Winograd and FFT convolutions smear a NaN over their tiles."""
    return torch.backends.cudnn.flags(enabled=False) if device.type == "cuda" else contextlib.nullcontext()
