"""`cam` and `cam_atlas`: class activation maps as attributions, one or all layers × methods at once."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import torch

from ...errors import UserError
from ...models.layers import layers as layers_of
from ...segmenter import Image, Segmenter
from ...target import Target
from ..attribution import Attribution, make_attribution
from ..smoothgrad import Progress
from .activations import LayerValues, activations_and_gradients
from .methods import (
    DEFAULT_WINDOW,
    GRADIENT_METHODS,
    METHODS,
    PERTURBATION_METHODS,
    POOLINGS,
    Method,
    Pooling,
    Window,
    gradient_map,
    window_size,
)
from .perturbation import ablation_cam, score_cam


def cam(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    layer: str,
    method: Method = "seg_hires_grad_cam",
    window: Window | None = None,
    pooling: Pooling = "mean",
    internal_batch_size: int = 8,
    progress: Progress | None = None,
) -> Attribution:
    """A class activation map of one layer; formulas and papers: see the functions in `methods` and `perturbation`.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        layer: Name as in `segmenter.module.named_modules()`; one that runs several times stands for its last run.
        method: One of `METHODS`.
        window: Of Seg-XRes-CAM: rows and columns, or one number for both; 4 by default.
        pooling: Of Seg-XRes-CAM: "mean" or "max".
        internal_batch_size: Of Score-CAM and Ablation-CAM: images that run together; it does not change the result.
        progress: Of Score-CAM and Ablation-CAM, see `Progress`: channels done.

    Returns:
        Values (1, h, w): raw and signed, at the layer's size; `at_image_size()` gives the usual picture. Their unit is
        the score's for gradient-based methods, so that Seg-HiRes-Grad CAM tells shares of the score; for the
        others it is that of the activations.

    Raises:
        UserError: An unknown method, a window of another method's, a layer that is not there or has no spatial size,
            or an image or target that does not fit the network.
    """
    _check_methods([method], window, pooling)
    if method not in PERTURBATION_METHODS:
        return cam_atlas(segmenter, image, target, [layer], [method], window, pooling)[layer, method]
    if internal_batch_size < 1:
        raise UserError("Images run through the network in batches of at least one.")
    started = time.perf_counter()
    batch = segmenter.as_batch(image, single=True).detach()
    function = score_cam if method == "score_cam" else ablation_cam
    found = function(segmenter, batch, target, layer, internal_batch_size, progress)
    parameters: dict[str, Any] = {"layer": layer, "padded_size": list(found.padded_size)}
    if method == "score_cam":
        parameters["largest_weight"] = float(found.weights.max())
    seconds = time.perf_counter() - started
    return make_attribution(
        found.values[None], segmenter, image, target, method, parameters, found.prediction, seconds, "activation"
    )


def cam_atlas(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    layers: Sequence[str] | None = None,
    methods: Sequence[Method] = GRADIENT_METHODS,
    window: Window | None = None,
    pooling: Pooling = "mean",
) -> dict[tuple[str, Method], Attribution]:
    """Class activation maps of several layers and methods from one forward and one backward pass.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        layers: Names; None takes every layer whose output is a map of more than one position.
        methods: Of `GRADIENT_METHODS`.
        window: Of Seg-XRes-CAM, see `cam`.
        pooling: Of Seg-XRes-CAM, see `cam`.

    Returns:
        An attribution for each layer and method, layers first, in the order given (or in which the layers finish). Each
        tells as its `seconds` the time of the shared passes and its own arithmetic.

    Raises:
        UserError: As `cam`; or a method that needs more than gradients.
    """
    _check_methods(methods, window, pooling)
    slow = [method for method in methods if method not in GRADIENT_METHODS]
    if slow:
        raise UserError(f"{slow[0]} runs the network once a channel, so it is not part of an atlas; use cam.")
    started = time.perf_counter()
    batch = segmenter.as_batch(image, single=True)
    if layers is None:
        layers = map_layers(segmenter, (batch.shape[2], batch.shape[3]))
    found = activations_and_gradients(segmenter, batch, target, layers)
    shared = time.perf_counter() - started
    empty = torch.zeros(1, 1, 1)
    model = make_attribution(empty, segmenter, batch, target, "", {}, found.prediction, shared, target.score_unit)
    atlas = {}
    for layer, values in found.layers.items():
        for method in methods:
            own = time.perf_counter()
            raw = gradient_map(method, values.activations, values.gradients, window, pooling)
            atlas[layer, method] = dataclasses.replace(
                model,
                values=raw[None].float().cpu().numpy(),
                method=method,
                parameters={"layer": layer, "padded_size": list(found.padded_size)}
                | _window_parameters(method, values, window, pooling),
                seconds=shared + time.perf_counter() - own,
            )
    return atlas


def map_layers(segmenter: Segmenter, size: tuple[int, int]) -> list[str]:
    """Names of the layers whose output is a map of more than one position, in the order in which they finish."""
    return [layer.name for layer in layers_of(segmenter, size) if layer.stride is not None]


def _window_parameters(method: Method, values: LayerValues, window: Window | None, pooling: Pooling) -> dict[str, Any]:
    if method != "seg_xres_cam":
        return {}
    rows, columns = window_size(window or DEFAULT_WINDOW)
    height, width = values.gradients.shape[1:]
    return {"window": [min(rows, height), min(columns, width)], "pooling": pooling}


def _check_methods(methods: Sequence[Method], window: Window | None, pooling: Pooling) -> None:
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise UserError(f'The method is one of {", ".join(METHODS)}; "{unknown[0]}" was given.')
    if pooling not in POOLINGS:
        raise UserError(f'The pooling is one of {", ".join(POOLINGS)}; "{pooling}" was given.')
    if window is not None:
        window_size(window)
        if "seg_xres_cam" not in methods:
            raise UserError("Only seg_xres_cam pools over a window; leave the window out, or choose that method.")
