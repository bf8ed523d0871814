"""What all class activation maps share: the layer, and what is computed from one pass of gradients."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...compute.progress import Progress
from ...segmenter import Image, Segmenter
from ...target import Target
from ..attribution import Attribution, make_attribution
from ..registry import METHODS, Method, Size, Values
from ..settings import setting
from .activations import activations_and_gradients
from .advice import suggested_layer

GRADIENT_CAMS = "gradient_cams"
"""The group of those that are arithmetic on activations and gradients."""


@dataclass(frozen=True)
class LayerSettings:
    """The layer whose activations make the map."""

    layer: str | None = setting(
        None, label="Layer", help="Layer for the class activation maps. By default one is suggested.", on_page=False
    )


class LayerMethod(Method):
    """A class activation map: a weighted sum of the activations of one layer, at the layer's size."""

    kind = "layer"
    sentence = "Where the layer supports the class: its positive part, resized to the image."
    Settings: ClassVar[type] = LayerSettings

    def completed(self, values: Values, segmenter: Segmenter, size: Size) -> Values:
        return {**values, "layer": layer_or_suggested(values.get("layer"), segmenter, size)}


class GradientCam(LayerMethod):
    """A map that is arithmetic on a layer's activations A and gradients G; all such maps share one pass.

    Attributes:
        is_linear: Whether it is linear in G, so that its maps of disjoint pixel sets add up.
    """

    group = GRADIENT_CAMS
    is_linear: ClassVar[bool] = False

    def layer_map(self, activations: Tensor, gradients: Tensor, settings: Any) -> Tensor:
        """The raw signed map (h, w) from A and G, both (channels, h, w), without the ReLU."""
        raise NotImplementedError

    def parameters(self, settings: Any, size: Size) -> dict[str, Any]:
        """Parameters in the manifest, beside the layer, of the map of a layer of `size` (height, width)."""
        return {name: value for name, value in vars(settings).items() if name != "layer"}

    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: Any, progress: Progress | None
    ) -> Attribution:
        return self.run_together(segmenter, image, target, {self.name: settings}, progress)[self.name]

    def run_together(
        self, segmenter: Segmenter, image: Image, target: Target, settings: Mapping[str, Any], progress: Progress | None
    ) -> dict[str, Attribution]:
        batch = segmenter.as_batch(image, single=True)
        layer = layer_or_suggested(next(iter(settings.values())).layer, segmenter, (batch.shape[2], batch.shape[3]))
        maps = gradient_cams(segmenter, batch, target, [layer], settings)
        return {name: maps[layer, name] for name in settings}


def gradient_cams(
    segmenter: Segmenter, image: Image, target: Target, layers: Sequence[str], settings: Mapping[str, Any]
) -> dict[tuple[str, str], Attribution]:
    """Maps of several layers by several methods of the group `GRADIENT_CAMS`, from one forward and one backward pass.

    Arguments as in `cam`; the settings are those of each method, by its name, and their layer is ignored.

    Returns:
        An attribution per layer and method, layers first. Its `seconds` are those of the shared passes and of its own
        arithmetic.
    """
    started = time.perf_counter()
    found = activations_and_gradients(segmenter, image, target, layers)
    shared = time.perf_counter() - started
    model = make_attribution(
        torch.zeros(1, 1, 1), segmenter, image, target, "", {}, started, target.score_unit,
        padded_size=found.padded_size,
    )  # fmt: skip
    maps = {}
    for layer, values in found.layers.items():
        for name, own in settings.items():
            method, started = METHODS[name], time.perf_counter()
            assert isinstance(method, GradientCam)  # noqa: S101 - its callers see to it
            raw = method.layer_map(values.activations, values.gradients, own)
            maps[layer, name] = replace(
                model,
                values=raw[None].float().cpu().numpy(),
                method=name,
                parameters=method.parameters(own, (raw.shape[0], raw.shape[1])),
                layer=layer,
                seconds=shared + time.perf_counter() - started,
            )
    return maps


def layer_or_suggested(layer: str | None, segmenter: Segmenter, size: Size) -> str:
    """The layer's name, or where there is none that of the suggested layer."""
    return suggested_layer(segmenter, size)[0] if layer is None else layer
