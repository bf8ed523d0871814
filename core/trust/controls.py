"""Controls: maps that know nothing of the network, which an explanation has to beat before it says anything."""

from dataclasses import dataclass

import numpy as np
import torch

from ..segmenter import Image
from ..target import Target


@dataclass(frozen=True)
class Control:
    """What a control is called.

    Attributes:
        title: Name on screen.
        sentence: What its map shows, in one sentence for people.
        unit: Unit of its values.
    """

    title: str
    sentence: str
    unit: str = "noise"


CONTROLS = {
    "random": Control("Random", "Noise. Whatever does no better than this knows nothing."),
    "blurred_random": Control("Blurred random", "Noise as smooth as a class activation map."),
    "edges": Control(
        "Edge detector",
        "Edges of the image itself. Explanations often look like this whatever the network has learned.",
        "intensity per pixel",
    ),
    "centre_distance": Control(
        "Distance to the target",
        "The nearer to the explained pixels, the more important, whatever the network.",
        "1 / (1 + pixels from the target)",
    ),
}
_BLUR_SIGMA = 8.0
_EDGE_SIGMA = 1.0


def controls(image: Image, target: Target, seed: int = 0) -> dict[str, np.ndarray]:
    """All controls for one target: float32 (H, W) each, higher for a more important pixel.

    - random: uniform noise, the ranking that anything has to beat;
    - blurred_random: noise under a Gaussian of 8 pixels, as smooth as a class activation map;
    - edges: the gradient magnitude of the image itself at a scale of 1 pixel (Adebayo et al., "Sanity checks for
      saliency maps", 2018, show how much some explanations resemble it);
    - centre_distance: how near a pixel is to the target's nearest pixel, 1 / (1 + Euclidean distance in pixels); 0
      everywhere where the target has no pixel.

    Args:
        image: (C, H, W).
        target: The scalar explained; only its place counts.
        seed: Seed of the noise.
    """
    return {name: control(name, image, target, seed) for name in CONTROLS}


def control(name: str, image: Image, target: Target, seed: int = 0) -> np.ndarray:
    """One of the `controls`."""
    from scipy import ndimage  # noqa: PLC0415 - slow to import

    values = np.asarray(torch.as_tensor(image).detach().cpu(), dtype=np.float32).reshape(-1, *image.shape[-2:])
    size = values.shape[1:]
    if name == "edges":
        return ndimage.gaussian_gradient_magnitude(values.mean(axis=0), _EDGE_SIGMA, mode="nearest")
    if name == "centre_distance":
        pixels = target.pixels(size)
        distance = ndimage.distance_transform_edt(~pixels) if pixels.any() else np.full(size, np.inf)
        return (1 / (1 + distance)).astype(np.float32)
    noise = np.random.default_rng(seed).random(size, dtype=np.float32)
    return noise if name == "random" else ndimage.gaussian_filter(noise, _BLUR_SIGMA, mode="wrap")
