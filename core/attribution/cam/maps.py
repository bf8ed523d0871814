"""`cam` and `cam_atlas`: class activation maps as attributions, one or all layers × methods at once."""

from collections.abc import Sequence
from typing import Any

from ...compute.progress import Progress
from ...errors import UserError
from ...models.layers import layers as layers_of
from ...segmenter import Image, Segmenter
from ...target import Target
from ..attribution import Attribution
from ..registry import METHODS, Values
from .layer_method import GRADIENT_CAMS, gradient_cams
from .methods import POOLINGS, Pooling, Window


def cam_methods() -> tuple[str, ...]:
    """Names of all class activation maps, in the order of display."""
    return tuple(name for name, method in METHODS.items() if method.kind == "layer")


def gradient_methods() -> tuple[str, ...]:
    """Names of those that share one pass and need no other, in the order of display."""
    return tuple(name for name, method in METHODS.items() if method.group == GRADIENT_CAMS)


def cam(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    layer: str,
    method: str = "seg_hires_grad_cam",
    window: Window | None = None,
    pooling: Pooling = "mean",
    internal_batch_size: int = 8,
    progress: Progress | None = None,
) -> Attribution:
    """A class activation map of one layer; formulas and papers: see the classes in `methods` and `perturbation`.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        layer: Name as in `segmenter.module.named_modules()`; one that runs several times stands for its last run.
        method: One of `cam_methods()`.
        window: Window of Seg-XRes-CAM: rows and columns, or one number for both; 4 by default.
        pooling: Pooling of Seg-XRes-CAM: "mean" or "max".
        internal_batch_size: Images that Score-CAM and Ablation-CAM run together; it does not change the result.
        progress: See `Progress`; counts the channels of Score-CAM and Ablation-CAM.

    Returns:
        Values (1, h, w): raw and signed, at the layer's size; `at_image_size()` gives the usual picture. Their unit is
        the score's for gradient-based methods, so that Seg-HiRes-Grad CAM gives shares of the score; for the
        others it is that of the activations.

    Raises:
        UserError: An unknown method, a window of another method's, a layer that is not there or has no spatial size,
            or an image or target that does not fit the network.
    """
    given = {"layer": layer, "internal_batch_size": internal_batch_size}
    settings = _settings_of([method], window, pooling, given)[method]
    return METHODS[method].run(segmenter, image, target, settings, progress)


def cam_atlas(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    layers: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    window: Window | None = None,
    pooling: Pooling = "mean",
) -> dict[tuple[str, str], Attribution]:
    """Class activation maps of several layers and methods from one forward and one backward pass.

    Arguments as in `cam`; without `layers` all `map_layers` are taken, without `methods` all `gradient_methods`. See
    `gradient_cams` for what is returned.

    Raises:
        UserError: As `cam`; or a method that needs more than gradients.
    """
    settings = _settings_of(gradient_methods() if methods is None else methods, window, pooling, {})
    for name in settings:
        if name not in gradient_methods():
            raise UserError(f"{name} runs the network once per channel, so it is not part of an atlas; use cam.")
    if layers is None:
        height, width = segmenter.as_batch(image, single=True).shape[2:]
        layers = map_layers(segmenter, (height, width))
    return gradient_cams(segmenter, image, target, layers, settings)


def map_layers(segmenter: Segmenter, size: tuple[int, int]) -> list[str]:
    """Names of the layers whose output is a map of more than one position, in the order in which they finish."""
    return [layer.name for layer in layers_of(segmenter, size) if layer.stride is not None]


def _settings_of(methods: Sequence[str], window: Window | None, pooling: Pooling, more: Values) -> dict[str, Any]:
    """Settings of each method, by its name."""
    for method in methods:
        if method not in cam_methods():
            raise UserError(f'The method is one of {", ".join(cam_methods())}; "{method}" was given.')
    if pooling not in POOLINGS:
        raise UserError(f'The pooling is one of {", ".join(POOLINGS)}; "{pooling}" was given.')
    if window is not None and "seg_xres_cam" not in methods:
        raise UserError("Only seg_xres_cam pools over a window; leave the window out, or choose that method.")
    values = {**more, "pooling": pooling} | ({} if window is None else {"window": window})
    return {name: METHODS[name].settings_from(values) for name in methods}
