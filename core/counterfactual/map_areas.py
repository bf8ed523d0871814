"""Areas of pixels to remove: the first of a ranking, those nearest to a target, and random ones of as many pixels."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

Shape = Literal["pixels", "patches", "moved"]
SHAPES: dict[Shape, str] = {
    "pixels": "Scattered pixels",
    "patches": "Patches of 8×8 pixels",
    "moved": "The map's area, moved elsewhere",
}
"""What the random areas are made of, on screen."""
_PATCH = 8


def first_pixels(values: np.ndarray, count: int, eligible: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The `count` eligible pixels of the smallest values, bool (H, W); among equal ones chance decides."""
    shuffled = random.permutation(np.flatnonzero(eligible))
    order = shuffled[np.argsort(values.ravel()[shuffled], kind="stable")]
    mask = np.zeros(values.shape, bool)
    mask.ravel()[order[:count]] = True
    return mask


def distances(pixels: np.ndarray) -> np.ndarray:
    """Euclidean distance of each pixel (H, W) from the nearest of some pixels, bool (H, W)."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import

    return distance_transform_edt(~pixels)


def random_areas(
    shape: Shape, top: np.ndarray, draws: int, eligible: np.ndarray, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Areas (H, W) of as many pixels as `top`, all of them eligible."""
    height, width = top.shape
    columns = -(-width // _PATCH)
    cells = np.arange(height)[:, None] // _PATCH * columns + np.arange(width) // _PATCH
    for _ in range(draws):
        if shape == "pixels":
            values = np.zeros(top.shape)
        elif shape == "patches":
            values = random.permutation(int(cells[-1, -1]) + 1)[cells]
        else:
            shift = int(random.integers(1, top.size))
            # Where it would lie on pixels that stay, it takes those nearest to it instead.
            values = distances(np.roll(top, divmod(shift, width), axis=(0, 1)))
        yield first_pixels(values, int(top.sum()), eligible, random)
