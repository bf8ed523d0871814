"""Proof that a network gives on windows what it gives on the whole image.

A window is right for a network that does the same at every place. One that upsamples with aligned corners, resizes to a
given size or adds an embedding of the position does not, and the stride to align windows to may be larger than the
receptive field shows. So the logits of some outputs, those at the borders and the corners among them, and the gradients
of some of these are compared with those of the whole image.
"""

import copy
import math
import threading
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import is_out_of_memory
from ..segmenter import Segmenter
from ..segmenter.differentiation import exact_arithmetic, input_gradient
from ..segmenter.examination import REFUSALS
from .support import AxisSupport, ReceptiveField
from .windows import Box, Windows

_FINEST_ALIGNMENT = 16
_COARSEST_ALIGNMENT = 256
_LONGEST_PERIOD = 128
_MOST_PIXELS_IN_FLOAT64 = 2**22
"""Size of an image above which a run in float64 takes too much memory."""
_MOST_PIXELS_OF_GRADIENT_IN_FLOAT64 = 2**16
_LOGITS_TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Share of the largest logit by which logits may differ."""
_GRADIENT_TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-2}
"""Share of the largest entry by which gradients may differ. In float32, a unit on the brink of its ReLU may switch."""
_RANDOM_PIXELS = 12


def proven_windows(segmenter: Segmenter, field: ReceptiveField) -> Windows | None:
    """The windows with the finest alignment that proves right; None where none does or none is smaller than the image.

    It costs a run of the whole image, in float64 where the network can be copied, and one of its gradients.
    """
    if field.dense or field.reason:
        return None
    canvas = segmenter.canvas(*field.size)
    period = math.lcm(_period(field.rows), _period(field.columns))
    finest = period * -(-_FINEST_ALIGNMENT // period)
    alignments = [finest * factor for factor in (1, 2, 4, 8) if finest * factor <= _COARSEST_ALIGNMENT]
    options = [Windows(field, canvas, alignment) for alignment in alignments]
    options = [windows for windows in options if windows.crop(_pixel(0, 0))]
    if not options:
        return None
    boxes = _boxes(options[0])
    noise = np.random.default_rng(4).random((1, segmenter.in_channels, *field.size), dtype=np.float32)
    with exact_arithmetic(segmenter.device):
        try:
            run = _Run(segmenter, torch.from_numpy(noise).to(segmenter.device))
            exact = _in_float64(run) or run
            of_gradients = exact if math.prod(field.size) <= _MOST_PIXELS_OF_GRADIENT_IN_FLOAT64 else run
            gradients = of_gradients.gradients(boxes)
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            return None
        for windows in options if gradients is not None else ():
            try:
                if exact.has_logits(windows, boxes) and of_gradients.has_gradients(windows, gradients or []):
                    return windows
            except REFUSALS as error:  # it may take coarser ones
                if is_out_of_memory(error):
                    raise
    return None


class _Run:
    """A network and an image of noise (1, C, H, W), in one number type."""

    def __init__(self, segmenter: Segmenter, image: Tensor) -> None:
        self.segmenter = segmenter
        self.image = image

    @cached_property
    @torch.no_grad()
    def logits(self) -> Tensor:
        """Those of the whole image (1, K, H, W)."""
        return self.segmenter.unchecked_logits(self.image)

    @torch.no_grad()
    def has_logits(self, windows: Windows, boxes: list[tuple[Box, Box]]) -> bool:
        """Whether windows give the logits of the whole image, in boxes of outputs."""
        allowed = _LOGITS_TOLERANCES[self.image.dtype] * self.logits.abs().max()
        for outputs, _ in boxes:
            crop = windows.crop(outputs)
            if crop is None:  # the whole image is used
                continue
            difference = crop.logits(self.segmenter, self.image[(..., *crop.area)]) - self.logits[(..., *outputs)]
            if not bool(difference.abs().max() <= allowed):
                return False
        return True

    def gradients(self, boxes: list[tuple[Box, Box]]) -> list[tuple[Box, Tensor]] | None:
        """Gradients (1, C, h, w) of boxes that share no input, each in its inputs; None where one leaves them.

        One backward pass gives them all.
        """
        apart: list[tuple[Box, Box]] = []
        for outputs, inputs in boxes:
            if not any(_meet(inputs, other) for _, other in apart):
                apart.append((outputs, inputs))
        with torch.enable_grad():
            image = self.image.clone().requires_grad_()
            logits = self.segmenter.unchecked_logits(image)
            gradient = input_gradient(
                torch.stack([_score(logits[(..., *outputs)]) for outputs, _ in apart]).sum(), image
            )
        found = [(outputs, gradient[(..., *inputs)].clone()) for outputs, inputs in apart]
        for _, inputs in apart:
            gradient[(..., *inputs)] = 0
        return None if gradient.any() else found

    def has_gradients(self, windows: Windows, expected: list[tuple[Box, Tensor]]) -> bool:
        """Whether windows give these gradients, and nothing beside them."""
        for outputs, gradient in expected:
            crop = windows.crop(outputs)
            if crop is None:
                continue
            with torch.enable_grad():
                image = self.image[(..., *crop.area)].clone().requires_grad_()
                found = input_gradient(_score(crop.logits(self.segmenter, image)), image)
            found[(..., *crop.inputs_in_area)] -= gradient
            if not bool(found.abs().max() <= _GRADIENT_TOLERANCES[image.dtype] * gradient.abs().max()):
                return False
        return True


def _in_float64(run: _Run) -> _Run | None:
    """The same in float64, where rounding hides nothing; None where the network cannot run in that or is too large."""
    if math.prod(run.image.shape[-2:]) > _MOST_PIXELS_IN_FLOAT64:
        return None
    try:
        with run.segmenter.lock:  # or the hooks that another thread has put there would be copied, too
            module = copy.deepcopy(run.segmenter.module)
        twin = copy.copy(run.segmenter)
        twin.module, twin.lock = module.double(), threading.RLock()
        exact = _Run(twin, run.image.double())
        return exact if bool(exact.logits.isfinite().all()) else None
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        return None


def _boxes(windows: Windows) -> list[tuple[Box, Box]]:
    """Boxes of outputs, each with its inputs: single pixels, and what single input pixels reach."""
    height, width = windows.field.size
    pixels = [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)]
    pixels += [(0, width // 3), (height - 1, width // 2), (height // 3, 0), (height // 2, width - 1)]
    generator = np.random.default_rng(5)
    pixels += [(int(generator.integers(height)), int(generator.integers(width))) for _ in range(_RANDOM_PIXELS)]
    boxes: list[Box] = [_pixel(row, column) for row, column in pixels]
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
