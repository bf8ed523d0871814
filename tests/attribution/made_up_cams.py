"""Class activation maps that nobody needs, registered as a user would do it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from core.attribution.attribution import make_attribution
from core.attribution.cam.layer_method import GradientCam, LayerSettings
from core.attribution.registry import METHODS, Method, register
from core.attribution.settings import setting


@contextmanager
def made_up_cams() -> Iterator[None]:
    """Registers `squared_cam`, which shares the gradients, and `brightness_cam`, which has no setting at all."""

    @dataclass(frozen=True)
    class SquaredSettings(LayerSettings):
        exponent: int = setting(2, label="Exponent", help="Exponent of the activations.", low=1, high=9)

    @register
    class SquaredCam(GradientCam):
        name, title = "squared_cam", "Squared CAM"
        Settings = SquaredSettings

        def layer_map(self, activations, gradients, settings):
            return (gradients.mean(dim=(1, 2), keepdim=True) * activations**settings.exponent).sum(dim=0)

    @register
    class BrightnessCam(Method):
        name, title, kind, sentence = "brightness_cam", "Brightness CAM", "layer", "How bright a pixel is."

        def run(self, segmenter, image, target, settings, progress):
            values = torch.as_tensor(image)[:1, ::2, ::2]
            return make_attribution(values, segmenter, image, target, self.name, {}, 0.0, "intensity", layer="input")

    try:
        yield
    finally:
        del METHODS["squared_cam"], METHODS["brightness_cam"]
