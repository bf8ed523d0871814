"""Influence: which outputs an input pixel moves, one column of the Jacobian, by forward-mode differentiation."""

import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, is_out_of_memory
from ..receptive_field.windows import Box, everything
from ..segmenter import Image, Segmenter
from ..segmenter.differentiation import exact_arithmetic, forward_mode_lock, input_gradient
from ..target import Space, Target, class_scores
from .attribution import Attribution, make_attribution
from .plain_attention import PlainAttention
from .windowed import Images, MapWindow, image_parts, tried_on_window, trusted_windows

_TOLERANCE = 2e-3
"""Relative: how far forward mode and reverse mode may differ in a sum over the whole image."""

Scores = Callable[[Tensor], Tensor]
"""Scores (B, H, W) of images (B, C, H, W)."""
Way = Callable[[Scores, Tensor, Tensor], Tensor]
"""A way to compute J·t from the scores, the image and t."""

_proven_ways: WeakKeyDictionary[Segmenter, set[Way]] = WeakKeyDictionary()


def influence(
    segmenter: Segmenter,
    image: Image,
    row: int,
    column: int,
    class_index: int = 1,
    space: Space = "probability",
    channel: int | None = None,
    *,
    against: int | None = None,
    window: bool = True,
) -> Attribution:
    """∂score(q) / ∂image(row, column) for every output pixel q, in one forward-mode product.

    The Jacobian-vector product J·e with e = 1 at the pixel (Baydin et al., "Automatic differentiation in machine
    learning: a survey", 2018, section 3.1).

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        row: Row of the input pixel.
        column: Column of the input pixel.
        class_index: The class whose score is watched.
        space: Score space of that class.
        channel: The channel that is moved; None moves all channels together: the sum of their columns.
        against: The class whose score is subtracted; None for the class alone.
        window: As in `gradient`.

    Returns:
        Values (1, H, W) over the output pixels, in score per unit of image intensity. The target names the input pixel.

    Raises:
        UserError: The image, the pixel, the class or the channel does not fit the network.
    """
    started = time.perf_counter()
    target = Target.pixel(row, column, class_index, space, against)
    images, size = image_parts(segmenter, image)
    column_of_scores = moved_outputs(segmenter, images, size, target, channel, window=window)
    values = torch.from_numpy(column_of_scores.on(size)[None])
    return make_attribution(values, segmenter, image, target, "influence", {"channel": channel}, started)


def moved_outputs(
    segmenter: Segmenter,
    images: Images,
    size: tuple[int, int],
    target: Target,
    channel: int | None = None,
    *,
    window: bool = True,
) -> MapWindow:
    """∂score(q) / ∂image at the target's pixel, for every output pixel q that it can reach, values (h, w).

    Arguments as in `target_gradient`; `channel` as in `influence`.
    """
    segmenter.findings(size)
    target.check(segmenter.num_classes, size)
    if channel is not None and not 0 <= channel < segmenter.in_channels:
        raise UserError(f"There is no channel {channel}; the image has {segmenter.in_channels}, counted from 0.")
    assert target.row is not None and target.column is not None  # noqa: S101, PT018 - it is a pixel
    windows = trusted_windows(segmenter, images, size, target) if window else None
    if windows is not None:
        outputs = windows.reached(target.row, target.column)
        if outputs is None:
            return MapWindow(np.zeros((1, 1), np.float32), target.row, target.column)
        if (crop := windows.crop(outputs)) is not None:
            found = tried_on_window(
                segmenter, size, lambda: _column(segmenter, images(crop.area), crop.area, target, channel, crop.logits)
            )
            if found is not None:
                return MapWindow(found.cpu().numpy(), outputs[0].start, outputs[1].start)
    whole = everything(size)
    found = _column(segmenter, images(whole), whole, target, channel, Segmenter.unchecked_logits)
    return MapWindow(found.cpu().numpy(), 0, 0)


def _column(
    segmenter: Segmenter,
    batch: Tensor,
    area: Box,
    target: Target,
    channel: int | None,
    logits: Callable[[Segmenter, Tensor], Tensor],
) -> Tensor:
    """The column (h, w) of the outputs whose logits are given, from the image (1, C, …) in an area."""
    assert target.row is not None and target.column is not None  # noqa: S101, PT018 - it is a pixel
    tangent = torch.zeros_like(batch)
    channels = slice(None) if channel is None else channel
    tangent[:, channels, target.row - area[0].start, target.column - area[1].start] = 1.0

    def scores(images: Tensor) -> Tensor:
        finite = segmenter.finite(logits(segmenter, images))
        return class_scores(finite, target.class_index, target.space, target.against)

    with exact_arithmetic(segmenter.device):
        return jacobian_vector_product(segmenter, scores, batch, tangent)[0]


def jacobian_vector_product(segmenter: Segmenter, function: Scores, point: Tensor, tangent: Tensor) -> Tensor:
    """J·t by the first way that the network's operations allow, and that has been seen to be right for this network.

    Args:
        segmenter: The network.
        function: Its scores.
        point: Images (B, C, H, W).
        tangent: t, of the same shape.

    Raises:
        UserError: None of them is.
    """
    proven = _proven_ways.setdefault(segmenter, set())
    for way in (_forward_mode, _forward_mode_by_the_formula, _by_two_reverse_passes):
        try:
            product = way(function, point, tangent)
            if way in proven or _agrees_with_reverse_mode(way, function, point):
                proven.add(way)
                return product
        except (NotImplementedError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
    raise UserError(
        f"An operation of {segmenter.name} has no forward-mode derivative, so neither what a pixel moves nor an "
        "estimate of the Jacobian can be computed; gradients of output pixels can."
    )


def _agrees_with_reverse_mode(way: Way, function: Scores, point: Tensor) -> bool:
    """Whether v·(J·g) = (Jᵀ·v)·g for random weights v and g = Jᵀ·v, which is ‖g‖².

    Operations from outside torch may drop a tangent without an error.
    """
    with torch.enable_grad():
        image = point.detach().requires_grad_()
        scores = function(image)
        weights = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 1.5, scores.shape)).to(scores)
        gradient = input_gradient((scores * weights).sum(), image)
    squared = float(gradient.double().square().sum())
    found = float((way(function, point, gradient).double() * weights).sum())
    return abs(found - squared) <= _TOLERANCE * squared


def _forward_mode(function: Scores, point: Tensor, tangent: Tensor) -> Tensor:
    with forward_mode_lock:
        return torch.func.jvp(function, (point,), (tangent,))[1]


def _forward_mode_by_the_formula(function: Scores, point: Tensor, tangent: Tensor) -> Tensor:
    with PlainAttention():
        return _forward_mode(function, point, tangent)


def _by_two_reverse_passes(function: Scores, point: Tensor, tangent: Tensor) -> Tensor:
    """J·t = ∂(v·Jᵀ·t)/∂v, for networks with an operation that has no forward-mode rule."""
    with PlainAttention(), torch.enable_grad():
        point = point.detach().requires_grad_()
        output = function(point)
        cotangent = torch.zeros_like(output, requires_grad=True)
        if not output.requires_grad:
            return torch.zeros_like(output)
        (pulled_back,) = torch.autograd.grad(output, point, cotangent, create_graph=True)
        return torch.autograd.grad(pulled_back, cotangent, tangent)[0]
