"""Gradients on the window of the image that they need, where that is known; else on the whole image."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, is_out_of_memory
from ..receptive_field.known import distrust, known_field, known_windows
from ..receptive_field.windows import Box, Crop, Windows, everything
from ..segmenter import Image, Segmenter
from ..segmenter.differentiation import exact_arithmetic, input_gradient
from ..segmenter.examination import REFUSALS
from ..target import Target

Images = Callable[[Box], Tensor]
"""Rows and columns of images -> the images there, (B, C, h, w)."""

_AGREEMENT = 1e-3
"""Share of the largest entry by which the first gradients may differ from the whole image's in float32."""
_LEAKAGE = 1e-6
"""Share of the largest entry that may lie outside of the window."""

Found = TypeVar("Found")


class MapWindow(NamedTuple):
    """A part of a map; it is 0 elsewhere.

    Attributes:
        values: Float32 (…, h, w).
        top: Row of the image where it begins.
        left: Column of the image where it begins.
    """

    values: np.ndarray
    top: int
    left: int

    @property
    def box(self) -> Box:
        """Its rows and columns."""
        height, width = self.values.shape[-2:]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def on(self, size: tuple[int, int]) -> np.ndarray:
        """The map (…, H, W) of an image of `size` (height, width)."""
        if self.values.shape[-2:] == size:
            return self.values
        whole = np.zeros((*self.values.shape[:-2], *size), self.values.dtype)
        whole[(..., *self.box)] = self.values
        return whole


def image_parts(segmenter: Segmenter, image: Image) -> tuple[Images, tuple[int, int]]:
    """The parts of one image (C, H, W), checked, and its size; what is on disk about that size is read.

    Raises:
        UserError: The image does not fit the network.
    """
    batch = segmenter.as_batch(image, single=True).detach()
    segmenter.decide(batch)
    size = (batch.shape[2], batch.shape[3])
    known_field(segmenter, size)
    return lambda box: batch[(..., *box)], size


def target_gradient(
    segmenter: Segmenter, images: Images, size: tuple[int, int], target: Target, *, window: bool = True
) -> MapWindow:
    """Σ ∂target / ∂image over a batch of images of `size` (height, width), values (C, h, w).

    With `window`, the network runs on the window that the target needs, where that is known (see `learn_field`).

    Raises:
        UserError: The target does not fit the network, or its logits are not finite.
    """
    segmenter.findings(size)
    target.check(segmenter.num_classes, size)
    windows = trusted_windows(segmenter, images, size, target) if window else None
    box = target.box
    if windows is not None and box is not None and (crop := windows.crop(box)) is not None:
        found = tried_on_window(segmenter, size, lambda: _on_window(segmenter, images, crop, target.within(box)))
        if found is not None:
            return found
    return _on_whole(segmenter, images, size, target)


def trusted_windows(segmenter: Segmenter, images: Images, size: tuple[int, int], target: Target) -> Windows | None:
    """The windows that may be used for an image; None where the whole image is to be used.

    Those from disk are confirmed first, by the gradient of this target on the window and on the whole image.
    """
    known = known_windows(segmenter, size)
    if known is None or known.windows is None or segmenter.findings(size).undecided:
        return None
    if not known.confirmed:
        agree = _agree(segmenter, known.windows, images, size, target)
        if agree is False:
            distrust(segmenter, size)
        if not agree:
            return None
        known.confirmed = True
    return known.windows


def _agree(
    segmenter: Segmenter, windows: Windows, images: Images, size: tuple[int, int], target: Target
) -> bool | None:
    """Whether the window and the whole image give the same; None where this target cannot show it."""
    box = target.box
    if box is None or (crop := windows.crop(box)) is None:
        return None
    target = replace(target, space="logit")  # rounding is magnified in a probability near 0 or 1
    found = tried_on_window(segmenter, size, lambda: _on_window(segmenter, images, crop, target.within(box)))
    if found is None:
        return None
    expected = _on_whole(segmenter, images, size, target).values
    largest = np.abs(expected).max()
    difference = np.abs(expected[(..., *found.box)] - found.values).max()
    expected[(..., *found.box)] = 0
    if not largest:
        return None
    return bool(difference <= _AGREEMENT * largest and np.abs(expected).max() <= _LEAKAGE * largest)


def tried_on_window(segmenter: Segmenter, size: tuple[int, int], run: Callable[[], Found]) -> Found | None:
    """What a run on a window gives; None where the network refuses that, and then the whole image is used for good."""
    try:
        return run()
    except REFUSALS as error:
        if isinstance(error, UserError) or is_out_of_memory(error):
            raise
        distrust(segmenter, size)
        return None


def _on_window(segmenter: Segmenter, images: Images, crop: Crop, target: Target) -> MapWindow:
    with torch.enable_grad(), exact_arithmetic(segmenter.device):
        batch = images(crop.area).detach().clone().requires_grad_()
        logits = segmenter.finite(crop.logits(segmenter, batch))
        gradient = input_gradient(target(logits).sum(), batch)[(..., *crop.inputs_in_area)]
    return MapWindow(_summed(gradient), crop.inputs[0].start, crop.inputs[1].start)


def _on_whole(segmenter: Segmenter, images: Images, size: tuple[int, int], target: Target) -> MapWindow:
    with torch.enable_grad(), exact_arithmetic(segmenter.device):
        batch = images(everything(size)).detach().clone().requires_grad_()
        gradient = input_gradient(target(segmenter.logits(batch)).sum(), batch)
    return MapWindow(_summed(gradient), 0, 0)


def _summed(gradients: Tensor) -> np.ndarray:
    """Float32 (C, h, w): the sum of gradients (B, C, h, w)."""
    total = gradients[0] if len(gradients) == 1 else gradients.sum(dim=0, dtype=torch.float64).float()
    return np.ascontiguousarray(total.cpu().numpy())
