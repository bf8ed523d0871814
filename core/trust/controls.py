"""Controls: maps that know nothing of the network, which an explanation has to beat before it says anything."""

from typing import Literal, get_args

import numpy as np
import torch
from scipy import ndimage

from ..segmenter import Image
from ..target import Target

ControlName = Literal["random", "blurred_random", "edges", "centre_distance"]

CONTROLS: tuple[ControlName, ...] = get_args(ControlName)
TITLES: dict[ControlName, str] = {
    "random": "Random",
    "blurred_random": "Blurred random",
    "edges": "Edge detector",
    "centre_distance": "Distance to the target",
}
_BLUR_SIGMA = 8.0
_EDGE_SIGMA = 1.0


def controls(image: Image, target: Target, seed: int = 0) -> dict[ControlName, np.ndarray]:
    """All controls for one target: float32 (H, W) each, higher where a pixel is said to matter more.

    - random: uniform noise, the ranking that anything has to beat;
    - blurred_random: noise under a Gaussian of 8 pixels, as smooth as a class activation map;
    - edges: the gradient magnitude of the image itself at a scale of 1 pixel (Adebayo et al., "Sanity checks for
      saliency maps", 2018, show how much some explanations resemble it);
    - centre_distance: how near a pixel is to the target's nearest pixel, 1 / (1 + Euclidean distance in pixels).

    Args:
        image: (C, H, W).
        target: The scalar explained; only its place counts.
        seed: Seed of the noise.
    """
    return {name: control(name, image, target, seed) for name in CONTROLS}


def control(name: ControlName, image: Image, target: Target, seed: int = 0) -> np.ndarray:
    """One of the `controls`."""
    values = np.asarray(torch.as_tensor(image).detach().cpu(), dtype=np.float32).reshape(-1, *image.shape[-2:])
    size = values.shape[1:]
    if name == "edges":
        return ndimage.gaussian_gradient_magnitude(values.mean(axis=0), _EDGE_SIGMA, mode="nearest")
    if name == "centre_distance":
        return distance_control(target.pixels(size))
    noise = np.random.default_rng(seed).random(size, dtype=np.float32)
    return noise if name == "random" else ndimage.gaussian_filter(noise, _BLUR_SIGMA, mode="wrap")


def distance_control(pixels: np.ndarray) -> np.ndarray:
    """1 / (1 + distance to the nearest of the pixels, bool (H, W)); 0 everywhere where there are none."""
    if not pixels.any():
        return np.zeros(pixels.shape, np.float32)
    return (1 / (1 + ndimage.distance_transform_edt(~pixels))).astype(np.float32)
