"""Influence: which outputs an input pixel moves, one column of the Jacobian, by forward-mode differentiation."""

import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, is_out_of_memory
from ..segmenter import Image, Segmenter
from ..target import Space, Target, class_scores
from .attribution import Attribution, make_attribution
from .gradient import input_gradient
from .plain_attention import PlainAttention

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

    Returns:
        Values (1, H, W) over the output pixels, in score per unit of image intensity. The target names the input pixel.

    Raises:
        UserError: The image, the pixel, the class or the channel does not fit the network.
    """
    started = time.perf_counter()
    target = Target.pixel(row, column, class_index, space)
    batch = segmenter.as_batch(image, single=True).detach()
    if channel is not None and not 0 <= channel < batch.shape[1]:
        raise UserError(f"There is no channel {channel}; the image has {batch.shape[1]}, counted from 0.")
    with torch.no_grad():
        target(segmenter.logits(batch))  # an error where it does not fit
    tangent = torch.zeros_like(batch)
    tangent[:, slice(None) if channel is None else channel, row, column] = 1.0

    def scores(images: Tensor) -> Tensor:
        return class_scores(segmenter.unchecked_logits(images), class_index, space)

    values = _jacobian_vector_product(segmenter, scores, batch, tangent)
    return make_attribution(values, segmenter, image, target, "influence", {"channel": channel}, started)


def _jacobian_vector_product(segmenter: Segmenter, function: Scores, point: Tensor, tangent: Tensor) -> Tensor:
    """J·t by the first way that the network's operations allow, and that has been seen to be right for this network.

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
        f"An operation of {segmenter.name} has no forward-mode derivative, so what a pixel moves cannot be computed; "
        "gradients of output pixels can."
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
