"""Random changes of image and mask alike: crops, flips and quarter turns, intensity."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .settings import Augmentation

_GRID = 32
"""Pixels between the points of an elastic deformation."""


def augment(image: Tensor, mask: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random crop, randomly flipped and (unless it stays upright) turned, deformed, with its intensities changed.

    The image (C, H, W) becomes (C, crop, crop), both in [0, 1], and the mask (H, W) becomes (crop, crop).
    """
    image, mask = random_crop(image, mask, augmentation.crop, augmentation.zoom, rng)
    image, mask = (random_mirror if augmentation.upright else random_orientation)(image, mask, rng)
    if augmentation.elastic:
        image, mask = elastic_deformation(image, mask, augmentation.elastic, rng)
    return add_noise(jitter_intensity(image, augmentation.jitter, rng), augmentation.noise, rng), mask


def random_crop(image: Tensor, mask: Tensor, crop: int, zoom: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The same random square of image (C, H, W) and mask (H, W), resized to (crop, crop) where the scale changes.

    The square's side is crop · exp(u), u uniform in [-zoom, zoom], and at most the image's smaller side.
    """
    height, width = mask.shape
    side = min(round(crop * math.exp(rng.uniform(-zoom, zoom))), height, width) if zoom else crop
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    image, mask = image[:, top : top + side, left : left + side], mask[top : top + side, left : left + side]
    if side == crop:
        return image, mask
    resized = F.interpolate(image[None], (crop, crop), mode="bilinear", align_corners=False, antialias=side > crop)[0]
    # "nearest" in torch samples the upper left of a pixel; "nearest-exact" its centre, as the bilinear image does.
    resized_mask = F.interpolate(mask[None, None].float(), (crop, crop), mode="nearest-exact")[0, 0]
    return resized.clamp(0, 1), resized_mask.to(mask.dtype)


def random_orientation(image: Tensor, mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One of the eight flips and quarter turns, the same for image (C, H, W) and mask (H, W)."""
    quarter_turns = int(rng.integers(4))
    return random_mirror(torch.rot90(image, quarter_turns, (1, 2)), torch.rot90(mask, quarter_turns, (0, 1)), rng)


def random_mirror(image: Tensor, mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """As they are or mirrored from left to right, the same for image (C, H, W) and mask (H, W)."""
    return (image.flip(2), mask.flip(1)) if rng.integers(2) else (image, mask)


def elastic_deformation(
    image: Tensor, mask: Tensor, strength: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Image (C, H, W) and mask (H, W) moved by the same smooth random displacement (Simard et al. 2003).

    The displacement of each axis is normal with standard deviation `strength`, in pixels, at the points of a grid of
    32 pixels, with bicubic interpolation between them. Pixels that come from outside are those at the border.
    """
    height, width = mask.shape
    points = rng.standard_normal((1, 2, height // _GRID + 2, width // _GRID + 2), dtype=np.float32)
    moved = F.interpolate(torch.from_numpy(strength * points), (height, width), mode="bicubic", align_corners=True)[0]
    rows, columns = torch.meshgrid(torch.arange(height) + 0.0, torch.arange(width) + 0.0, indexing="ij")
    places = torch.stack(((columns + moved[1] + 0.5) * 2 / width - 1, (rows + moved[0] + 0.5) * 2 / height - 1), dim=-1)
    given: Any = {"padding_mode": "border", "align_corners": False}
    changed = F.grid_sample(image[None], places[None], mode="bilinear", **given)[0]
    changed_mask = F.grid_sample(mask[None, None].float(), places[None], mode="nearest", **given)[0, 0]
    return changed.clamp(0, 1), changed_mask.to(mask.dtype)


def add_noise(image: Tensor, largest: float, rng: np.random.Generator) -> Tensor:
    """An image in [0, 1] with white Gaussian noise, its standard deviation uniform in [0, largest], clipped."""
    if largest == 0:
        return image
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    return (image + rng.uniform(0, largest) * noise).clamp(0, 1)


def jitter_intensity(image: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """An image (C, H, W) in [0, 1] with random contrast, brightness and noise: clip(g · m (image/m)^γ + o + n).

    With m the image's maximum, σ its standard deviation and s the strength (0 returns the image as it is), g = exp(u)
    with u uniform in ±2s, γ = exp(u) with u uniform in ±s, the offset o is uniform in ±sσ, and n is white Gaussian
    noise whose standard deviation is uniform in [0, sσ]: one draw per image. Offset and noise follow σ because images
    of one data set can differ tenfold in contrast, and what is little for one would drown another.
    """
    if strength == 0:
        return image
    maximum, spread = float(image.max()), float(image.std())
    if maximum == 0:
        return image
    gain, exponent = np.exp(strength * rng.uniform((-2, -1), (2, 1)))
    offset, noise_level = strength * spread * rng.uniform((-1, 0), (1, 1))
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    changed = gain * maximum * (image / maximum) ** exponent + offset + noise_level * noise
    return changed.clamp(0, 1).float()
