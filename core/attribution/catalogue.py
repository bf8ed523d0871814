"""Every method whose maps can be compared at the image's size, by name, with one way to run and to read each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

from ..errors import UserError
from ..models.layers import layers as layers_of
from ..segmenter import Image, Segmenter
from ..target import Target
from .attribution import Attribution
from .baselines import DEFAULT_DRAWS, DEFAULT_SIGMA, BaselineKind
from .cam import (
    GRADIENT_METHODS,
    PERTURBATION_METHODS,
    Window,
    cam,
    cam_atlas,
    suggested_layer,
)
from .cam import METHODS as CAM_METHODS
from .cam import TITLES as CAM_TITLES
from .cam import Method as CamMethod
from .gradient import gradient, gradient_x_input
from .integrated_gradients import integrated_gradients
from .occlusion import number_of_patches, occlusion
from .smoothgrad import Progress, smoothgrad

ImageMethod = Literal["gradient", "gradient_x_input", "smoothgrad", "integrated_gradients", "occlusion"]
MethodName = Literal[ImageMethod, CamMethod]

IMAGE_METHODS: tuple[ImageMethod, ...] = get_args(ImageMethod)
"""Those whose values are at the image's size; the others are class activation maps."""
METHODS: tuple[MethodName, ...] = (*IMAGE_METHODS, *CAM_METHODS)
"""In the order of display."""
TITLES: dict[MethodName, str] = {
    "gradient": "Gradient",
    "gradient_x_input": "Gradient × input",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "Integrated Gradients",
    "occlusion": "Occlusion",
    **{name: CAM_TITLES[name] for name in CAM_METHODS},
}
DEFAULT_METHODS: tuple[MethodName, ...] = tuple(name for name in METHODS if name not in PERTURBATION_METHODS)
"""All but those that run the network once a channel."""
_SENSITIVITIES = ("gradient", "smoothgrad")


@dataclass(frozen=True)
class ExplainSettings:
    """Settings of all methods together; each takes its own.

    Attributes:
        layer: Of class activation maps; None takes `suggested_layer`.
        window: Of Seg-XRes-CAM; None takes its default.
        baseline: Of Integrated Gradients.
        sigma: Of a blurred baseline or fill, in pixels.
        n_steps: Of Integrated Gradients.
        n_samples: Of SmoothGrad.
        noise: Of SmoothGrad, as a fraction of the image's range.
        patch: Of occlusion: rows and columns of a patch.
        stride: Of occlusion, at most `patch`.
        fill: Of occlusion.
        seed: Of all that is random.
    """

    layer: str | None = None
    window: Window | None = None
    baseline: BaselineKind = "zero"
    sigma: float = DEFAULT_SIGMA
    n_steps: int = 32
    n_samples: int = 16
    noise: float = 0.1
    patch: int = 16
    stride: int = 16
    fill: BaselineKind = "mean"
    seed: int = 0


DEFAULT_SETTINGS = ExplainSettings()


def explain(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    method: MethodName,
    settings: ExplainSettings = DEFAULT_SETTINGS,
    progress: Progress | None = None,
) -> Attribution:
    """The attribution of one method, by its name.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        method: One of `METHODS`.
        settings: Of all methods.
        progress: See `Progress`; counts passes of the network.

    Raises:
        UserError: An unknown method, or as the method itself.
    """
    return next(explain_each(segmenter, image, target, [method], settings, progress))[1]


def explain_each(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    methods: Sequence[MethodName] = DEFAULT_METHODS,
    settings: ExplainSettings = DEFAULT_SETTINGS,
    progress: Progress | None = None,
) -> Iterator[tuple[MethodName, Attribution]]:
    """The attributions of several methods in the order given, each as soon as it is there.

    All class activation maps that need only gradients share one forward and one backward pass, run when the first of
    them is due. Arguments as `explain`; the progress counts the passes of all methods together.

    Raises:
        UserError: As `explain`; an unknown method before anything runs.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        raise UserError(f'The method is one of {", ".join(METHODS)}; "{unknown[0]}" was given.')
    return _explained(segmenter, image, target, methods, settings, progress)


def importance(attribution: Attribution) -> np.ndarray:
    """What is ranked to say which pixels matter most, float32 (H, W).

    Of sensitivities (gradient, SmoothGrad) the magnitude over the channels; of contributions (gradient × input,
    Integrated Gradients, occlusion) their signed sum; of class activation maps the positive part, resized.

    Raises:
        UserError: The attribution of a method that is not in `METHODS`.
    """
    _check_known(attribution)
    if attribution.method in _SENSITIVITIES:
        return attribution.magnitude()
    if attribution.method in IMAGE_METHODS:
        return attribution.signed_map()
    return attribution.at_image_size(positive=True)


def predicted_drops(attribution: Attribution, image: Image, fill: np.ndarray) -> np.ndarray:
    """By how much the map says that the score drops when a pixel shows `fill` instead, float64 (H, W).

    Of sensitivities Σ_c values · (image - fill), the first order; of contributions Σ_c values, made with a baseline or
    fill of their own; of class activation maps the signed map, resized.

    Args:
        attribution: Of a method in `METHODS`.
        image: (C, H, W), the image explained.
        fill: (C, H, W).

    Raises:
        UserError: The attribution of a method that is not in `METHODS`, or an image or fill of another size.
    """
    _check_known(attribution)
    if attribution.method in _SENSITIVITIES:
        shown, filled = (np.asarray(torch.as_tensor(each).detach().cpu(), np.float64) for each in (image, fill))
        if not shown.shape == filled.shape == attribution.values.shape:
            raise UserError(
                f"The image {shown.shape}, the fill {filled.shape} and the map {attribution.values.shape} must be of "
                "one size."
            )
        return (attribution.values * (shown - filled)).sum(axis=0)
    if attribution.method in IMAGE_METHODS:
        return attribution.values.sum(axis=0, dtype=np.float64)
    return attribution.at_image_size(positive=False).astype(np.float64)


class _Runs:
    """The methods asked for, and how many passes of the network are done."""

    def __init__(
        self,
        segmenter: Segmenter,
        image: Image,
        target: Target,
        methods: Sequence[MethodName],
        settings: ExplainSettings,
        progress: Progress | None,
    ) -> None:
        batch = segmenter.as_batch(image, single=True)
        self.given = segmenter, image, target
        self.settings = settings
        self._progress = progress
        self._size = batch.shape[2], batch.shape[3]
        self._shared = [method for method in dict.fromkeys(methods) if method in GRADIENT_METHODS]
        self._atlas: dict[tuple[str, CamMethod], Attribution] = {}
        needs_layer = any(method in CAM_METHODS for method in methods)
        self._layer = settings.layer or (suggested_layer(segmenter, self._size)[0] if needs_layer else "")
        channels = 1
        if any(method in PERTURBATION_METHODS for method in methods):
            found = {layer.name: layer.channels for layer in layers_of(segmenter, self._size)}
            channels = found.get(self._layer, 1)
        self._done = 0
        self._passes = {method: self._passes_of(method, channels) for method in METHODS}
        self._total = sum(self._passes[method] for method in methods if method not in self._shared) + bool(self._shared)

    def run(self, method: MethodName) -> Attribution:
        if method in GRADIENT_METHODS:
            return self._from_the_atlas(method)
        passes, before = self._passes[method], self._done

        def count(part: int, total: int) -> None:
            if self._progress is not None:
                self._progress(before + passes * part // total, self._total)

        found = self._alone(method, count)
        self._done += passes
        if method in ("gradient", "gradient_x_input"):
            count(1, 1)
        return found

    def _from_the_atlas(self, method: CamMethod) -> Attribution:
        if not self._atlas:
            window = self.settings.window if "seg_xres_cam" in self._shared else None
            self._atlas = cam_atlas(*self.given, [self._layer], self._shared, window)
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
        return self._atlas[self._layer, method]

    def _alone(self, method: MethodName, progress: Progress) -> Attribution:
        settings = self.settings
        if method == "gradient":
            return gradient(*self.given)
        if method == "gradient_x_input":
            return gradient_x_input(*self.given)
        if method == "smoothgrad":
            return smoothgrad(*self.given, settings.n_samples, settings.noise, settings.seed, progress=progress)
        if method == "integrated_gradients":
            return integrated_gradients(
                *self.given,
                settings.baseline,
                settings.n_steps,
                seed=settings.seed,
                sigma=settings.sigma,
                progress=progress,
            )
        if method == "occlusion":
            return occlusion(
                *self.given,
                settings.patch,
                settings.stride,
                settings.fill,
                sigma=settings.sigma,
                seed=settings.seed,
                progress=progress,
            )
        return cam(*self.given, self._layer, method, progress=progress)

    def _passes_of(self, method: MethodName, channels: int) -> int:
        settings = self.settings
        if method == "smoothgrad":
            return settings.n_samples
        if method == "integrated_gradients":
            return settings.n_steps * (DEFAULT_DRAWS if settings.baseline == "random" else 1)
        if method == "occlusion" and 1 <= settings.stride <= settings.patch:
            return number_of_patches(self._size, settings.patch, settings.stride)
        return channels if method in PERTURBATION_METHODS else 1


def _explained(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    methods: Sequence[MethodName],
    settings: ExplainSettings,
    progress: Progress | None,
) -> Iterator[tuple[MethodName, Attribution]]:
    runs = _Runs(segmenter, image, target, methods, settings, progress)
    for method in methods:
        yield method, runs.run(method)


def _check_known(attribution: Attribution) -> None:
    if attribution.method not in METHODS:
        raise UserError(f'The method is one of {", ".join(METHODS)}; this map is of "{attribution.method}".')
