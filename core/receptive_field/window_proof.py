"""Proof that a network gives on windows what it gives on the whole image.

A window is right for a network that does the same at every place. One that upsamples with aligned corners, resizes to a
given size or adds an embedding of the position does not, and the stride to align windows to may be larger than the
receptive field shows. So the gradients of some outputs, those at the borders and the corners among them, are compared
with those of the whole image.
"""

import copy
import math
import threading
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..errors import is_out_of_memory
from ..segmenter import Segmenter
from ..segmenter.differentiation import exact_arithmetic, input_gradient
from ..segmenter.examination import REFUSALS
from .support import AxisSupport, ReceptiveField
from .windows import Box, Crop, Windows

_FINEST_ALIGNMENT = 16
_COARSEST_ALIGNMENT = 256
_LONGEST_PERIOD = 128
_MOST_PIXELS_IN_FLOAT64 = 2**20
"""Size of an image above which a graph in float64 takes too much memory."""
_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Share of the largest entry by which gradients may differ. In float32, a unit on the brink of its ReLU may switch."""
_RANDOM_PIXELS = 6


def proven_windows(segmenter: Segmenter, field: ReceptiveField) -> Windows | None:
    """The windows with the finest alignment that proves right; None where none does or none is smaller than the image.

    It costs a few gradients of the whole image, in float64 where the network can be copied and the image is not large.
    """
    if field.dense or field.reason:
        return None
    canvas = segmenter.canvas(*field.size)
    periods = _period(field.rows), _period(field.columns)
    period = math.lcm(*periods)
    finest = period * -(-_FINEST_ALIGNMENT // period)
    candidates = [finest * factor for factor in (1, 2, 4, 8) if finest * factor <= _COARSEST_ALIGNMENT]
    options = [Windows(field, canvas, alignment) for alignment in candidates]
    options = [windows for windows in options if windows.crop(_pixel(0, 0))]
    if not options:
        return None
    for proof in _proofs(segmenter, field):
        try:
            expected = proof.whole(_boxes(options[0]))
            if expected is None:
                return None
            return next((windows for windows in options if proof.holds(windows, expected)), None)
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
    return None


class _Proof:
    """Gradients of boxes of outputs for one image of noise, in one number type."""

    def __init__(self, segmenter: Segmenter, size: tuple[int, int], dtype: torch.dtype) -> None:
        noise = np.random.default_rng(4).random((1, segmenter.in_channels, *size), dtype=np.float32)
        self._image = torch.from_numpy(noise).to(segmenter.device, dtype)
        self._segmenter = segmenter
        self._tolerance = _TOLERANCES[dtype]

    def whole(self, boxes: list[tuple[Box, Box]]) -> list[tuple[Box, Tensor]] | None:
        """Gradients (1, C, h, w) of boxes in their inputs, given with each; None where one leaves them.

        Boxes that share no input share a pass.
        """
        groups: list[list[tuple[Box, Box]]] = []
        for outputs, inputs in boxes:
            group = next((each for each in groups if not any(_meet(inputs, other) for _, other in each)), None)
            if group is None:
                groups.append(group := [])
            group.append((outputs, inputs))
        found = []
        with torch.enable_grad(), exact_arithmetic(self._segmenter.device):
            image = self._image.clone().requires_grad_()
            logits = self._segmenter.unchecked_logits(image)
            for group in groups:
                score = torch.stack([_score(logits[(..., *outputs)]) for outputs, _ in group]).sum()
                gradient = input_gradient(score, image, keep_graph=True)
                for outputs, inputs in group:
                    found.append((outputs, gradient[(..., *inputs)].clone()))
                    gradient[(..., *inputs)] = 0
                if gradient.any():
                    return None
        return found

    def holds(self, windows: Windows, expected: list[tuple[Box, Tensor]]) -> bool:
        """Whether the windows give the gradients of the whole image."""
        try:
            return all(self._agrees(windows.crop(outputs), gradient) for outputs, gradient in expected)
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            return False

    def _agrees(self, crop: Crop | None, expected: Tensor) -> bool:
        if crop is None:  # the whole image is used
            return True
        with torch.enable_grad(), exact_arithmetic(self._segmenter.device):
            image = self._image[(..., *crop.area)].clone().requires_grad_()
            found = input_gradient(_score(crop.logits(self._segmenter, image)), image)
        found[(..., *crop.inputs_in_area)] -= expected
        return bool(found.abs().max() <= self._tolerance * expected.abs().max())


def _proofs(segmenter: Segmenter, field: ReceptiveField) -> Iterator[_Proof]:
    """In float64, where rounding hides nothing, and where the network cannot run in that, in its own type."""
    if math.prod(field.size) <= _MOST_PIXELS_IN_FLOAT64 and (twin := _in_float64(segmenter)) is not None:
        yield _Proof(twin, field.size, torch.float64)
    yield _Proof(segmenter, field.size, torch.float32)


def _in_float64(segmenter: Segmenter) -> Segmenter | None:
    try:
        with segmenter.lock:  # or the hooks that another thread has put there would be copied, too
            module = copy.deepcopy(segmenter.module)
        twin = copy.copy(segmenter)
        twin.module, twin.lock = module.double(), threading.RLock()
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        return None
    return twin


def _boxes(windows: Windows) -> list[tuple[Box, Box]]:
    """Boxes of outputs, each with its inputs: single pixels, and what single input pixels reach."""
    height, width = windows.field.size
    rows, columns = (0, height - 1, height // 3, height // 2 + 1), (0, width - 1, width // 2 + 1, width // 3)
    pixels = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    pixels += [(rows[0], columns[3]), (rows[1], columns[2]), (rows[2], columns[0]), (rows[3], columns[1])]
    generator = np.random.default_rng(5)
    pixels += [(int(generator.integers(height)), int(generator.integers(width))) for _ in range(_RANDOM_PIXELS)]
    boxes: list[Box] = [_pixel(min(row, height - 1), min(column, width - 1)) for row, column in pixels]
    boxes += [box for row, column in pixels[-2:] if (box := windows.reached(row, column)) is not None]
    return [(box, crop.inputs) for box in boxes if (crop := windows.crop(box)) is not None]


def _pixel(row: int, column: int) -> Box:
    return slice(row, row + 1), slice(column, column + 1)


def _score(logits: Tensor) -> Tensor:
    """A weighted sum of logits (1, K, h, w), no two with the same weight."""
    weights = (
        np.random.default_rng(6).uniform(0.5, 1.5, logits.shape) * (-1) ** np.arange(logits.shape[1])[:, None, None]
    )
    return (logits * torch.from_numpy(weights).to(logits)).sum()


def _meet(first: Box, second: Box) -> bool:
    return all(one.start < other.stop and other.start < one.stop for one, other in zip(first, second, strict=True))


def _period(support: AxisSupport) -> int:
    """The number of pixels after which the support repeats itself where no border cuts it, that is the stride."""
    inside = (support.first > 0) & (support.last < len(support) - 1)
    for period in range(1, min(_LONGEST_PERIOD, len(support) - 1) + 1):
        both = inside[period:] & inside[:-period]
        moved = (support.first[period:] - support.first[:-period], support.last[period:] - support.last[:-period])
        if all((each[both] == period).all() for each in moved):
            return period
    return 1
