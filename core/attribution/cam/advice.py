"""Which layer to look at first, and when a class activation map says nothing."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch

from ...errors import UserError
from ...models.layers import Layer
from ...models.layers import layers as layers_of
from ...segmenter import Prediction, Segmenter
from ...target import Target
from ..attribution import Attribution
from .activations import activations_and_gradients

_FEWEST_ROWS = 4
"""A coarser map shows no place."""
_SATURATED = 1e-3
"""Mean p(1 - p), the slope of a probability by its logit, below which hardly any gradient is left."""
_FLAT = 1e-5
_ONE_CHANNEL = 0.99


@dataclass(frozen=True)
class LayerAdvice:
    """Layers of a network, and which of them to explain first.

    Attributes:
        layers: Layers that give a map, by name, in the order in which they finish.
        suggested: Name of the layer to begin with: the last one at the coarsest resolution, the bottleneck. Never one
            that is read point by point, unless there is no other.
        reason: Why that layer.
        pointwise: Names of those that a pixel's score reads at the same point only, as before a 1×1 head. There G is
            the head's weights inside the pixel set and 0 outside, so Seg-HiRes-Grad CAM is the set times the logit.
    """

    layers: dict[str, Layer]
    suggested: str
    reason: str
    pointwise: frozenset[str]


def layer_advice(segmenter: Segmenter, size: tuple[int, int]) -> LayerAdvice:
    """Which layers there are, which to look at first, and which say little, for images of `size` (height, width).

    The network runs on two random images of that size.

    Raises:
        UserError: No layer gives a map of more than one position.
    """
    found = [layer for layer in layers_of(segmenter, size) if layer.stride is not None]
    if not found:
        raise UserError(f"No layer of {segmenter.name} gives a map, so there is no class activation map of it.")
    extents, affine = _reach(segmenter, size, [layer.name for layer in found])
    pointwise = _pointwise(found, extents, affine)
    suggested, reason = _suggested(found, extents, pointwise)
    return LayerAdvice({layer.name: layer for layer in found}, suggested, reason, pointwise)


def _suggested(found: list[Layer], extents: dict[str, tuple[int, int]], pointwise: frozenset[str]) -> tuple[str, str]:
    useful = [layer for layer in found if layer.name not in pointwise and min(extents[layer.name]) > 0]
    if not useful:
        return found[0].name, (
            "Every layer of this network is read point by point: a Seg-HiRes-Grad CAM is only the score inside the "
            "pixel set. Seg-Grad-CAM still compares the channels."
        )
    roomy = [layer for layer in useful if min(layer.height, layer.width) >= _FEWEST_ROWS]
    # One whole stride fits both axes of a stage of the network, but not of the branches of a pooling pyramid.
    candidates = [layer for layer in roomy if layer.stride and max(layer.stride) <= 1.25 * min(layer.stride)] or useful
    fewest = min(layer.height * layer.width for layer in candidates)
    chosen = [layer for layer in candidates if layer.height * layer.width == fewest][-1]
    if fewest == max(layer.height * layer.width for layer in useful):
        return chosen.name, (
            f"No layer here is coarser than {chosen.height}×{chosen.width}; this is the last one whose "
            "surroundings, and not only the same point, reach the score."
        )
    stride = max(chosen.stride or (1.0, 1.0))
    return chosen.name, (
        f"The last layer at the coarsest resolution, {chosen.height}×{chosen.width}, one position for about "
        f"{stride:.0f}×{stride:.0f} pixels: each has seen the widest context and still "
        "passes through all that follows. Layers nearer to the output show little more than the pixel set itself."
    )


def cam_warnings(attribution: Attribution, prediction: Prediction, pointwise: Collection[str] = ()) -> tuple[str, ...]:
    """Why a class activation map may say nothing, one sentence per reason; none if all is well.

    The prediction is the network's for the image; `pointwise` as in `LayerAdvice`.
    """
    values, target = attribution.values, attribution.target
    highest, lowest = float(values.max()), float(values.min())
    largest = max(abs(highest), abs(lowest))
    if target.mask is not None and not target.mask.any():
        return ("Empty: the pixel set has no pixel, so the map is 0 everywhere, as it must be.",)
    warnings = []
    slope = _slope(target, prediction)
    if slope is not None and slope < _SATURATED:
        warnings.append(
            f"Saturated: the probability in the pixel set is nearly 0 or 1 (mean p(1 - p) = {slope:.1e}), so hardly "
            "any gradient is left; explain the logit or the log-odds."
        )
    if largest == 0:
        warnings.append("Empty: the map is 0 everywhere; nothing at this layer moves the score.")
    elif highest <= 0:
        warnings.append(
            "Empty when positive: the map is at most 0 everywhere, all of it against the class; look at it signed."
        )
    elif highest - lowest <= _FLAT * largest:
        warnings.append("Constant: the map is the same everywhere, so it shows no place.")
    if attribution.layer in pointwise:
        warnings.append(
            f"Degenerate: the score reads {attribution.layer} point by point, as a 1×1 head does, so maps by position "
            "(Seg-HiRes-Grad CAM, LayerCAM) are only the pixel set times the score; choose an earlier layer."
        )
    if attribution.parameters.get("largest_weight", 0.0) > _ONE_CHANNEL and attribution.method == "score_cam":
        warnings.append(
            "One channel has all the weight: its softmax is saturated by large scores; take the mean over the set."
        )
    return tuple(warnings)


def _slope(target: Target, prediction: Prediction) -> float | None:
    if target.space != "probability":
        return None
    labels = np.full_like(prediction.labels, target.class_index) if target.labels is None else target.labels
    probability = np.take_along_axis(prediction.probabilities, labels[None], axis=0)[0].astype(np.float64)
    slopes = probability * (1 - probability)
    if target.against is not None:
        other = prediction.probabilities[target.against].astype(np.float64)
        slopes = np.maximum(slopes, other * (1 - other))
    if target.mask is None:
        return float(slopes[target.row, target.column])
    return float((np.abs(target.mask) * slopes).sum() / np.abs(target.mask).sum())


def _reach(
    segmenter: Segmenter, size: tuple[int, int], names: list[str]
) -> tuple[dict[str, tuple[int, int]], dict[str, bool]]:
    """Rows and columns of each layer from which one pixel's logit is read, and whether by the same gradient always."""
    extents = dict.fromkeys(names, (0, 0))
    affine = dict.fromkeys(names, True)
    # The middle, and a pixel at which the grids of all strides begin: how far a score reads differs between them.
    middle = size[0] // 2, size[1] // 2
    corner = tuple(min(2 ** (max(1, place).bit_length() - 1), place) for place in middle)
    noise = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    images = [torch.rand(segmenter.in_channels, *size, generator=generator) for generator in noise]
    for row, column in {middle, corner}:
        target = Target.pixel(row, column, 1, "logit")
        first, second = (activations_and_gradients(segmenter, image, target, names).layers for image in images)
        for name in names:
            gradients = first[name].gradients, second[name].gradients
            rows, columns = zip(extents[name], *map(_extent, gradients), strict=True)
            extents[name] = max(rows), max(columns)
            tolerance = 1e-6 * float(gradients[0].abs().max())
            affine[name] = affine[name] and torch.allclose(*gradients, rtol=1e-3, atol=tolerance)
    return extents, affine


def _extent(gradients: torch.Tensor) -> tuple[int, int]:
    read = (gradients != 0).any(dim=0)
    rows, columns = read.any(dim=1).nonzero(), read.any(dim=0).nonzero()
    if len(rows) == 0:
        return 0, 0
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


def _pointwise(found: list[Layer], extents: dict[str, tuple[int, int]], affine: dict[str, bool]) -> frozenset[str]:
    """Found by gradients, not by types: the gradient of one pixel's logit is 0 at all positions but one.

    Or, where logits are upsampled, at all but 2×2, in a layer of the logits' size: that of the layers whose gradient is
    moreover the same for any image, as it is before a linear head.
    """

    def is_local(layer: Layer) -> bool:
        rows, columns = extents[layer.name]
        return 0 < rows <= 2 and 0 < columns <= 2 and rows < layer.height and columns < layer.width

    heads = {(layer.height, layer.width) for layer in found if is_local(layer) and affine[layer.name]}
    return frozenset(
        layer.name
        for layer in found
        if extents[layer.name] == (1, 1) or (is_local(layer) and (layer.height, layer.width) in heads)
    )
