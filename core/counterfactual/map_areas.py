"""Areas of pixels to remove: the first of a ranking, those nearest to a target, and random ones of as many pixels."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from ..target import Target

Shape = Literal["pixels", "patches", "moved"]
SHAPES: dict[Shape, str] = {
    "pixels": "Scattered pixels",
    "patches": "Patches of 8×8 pixels",
    "moved": "The map's area, moved elsewhere",
}
"""What the random areas are made of, on screen."""
_PATCH = 8


def first_pixels(values: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """The pixels of the `count` smallest values, bool (H, W); among equal ones chance decides."""
    shuffled = random.permutation(values.size)
    order = shuffled[np.argsort(values.ravel()[shuffled], kind="stable")]
    return _mask(order[:count], values.shape)


def _mask(places: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask.ravel()[places] = True
    return mask


def distances(target: Target, size: tuple[int, int]) -> np.ndarray:
    """Euclidean distance of each pixel from the nearest pixel of the target."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import

    return distance_transform_edt(~target.pixels(size))


def random_areas(shape: Shape, top: np.ndarray, draws: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Areas (H, W) of as many pixels as `top`."""
    height, width = top.shape
    count = int(top.sum())
    columns = -(-width // _PATCH)
    cells = (np.arange(height)[:, None] // _PATCH * columns + np.arange(width) // _PATCH).ravel()
    for _ in range(draws):
        if shape == "pixels":
            yield _mask(random.permutation(top.size)[:count], top.shape)
        elif shape == "patches":
            rank = random.permutation(int(cells[-1]) + 1)
            yield _mask(np.argsort(rank[cells], kind="stable")[:count], top.shape)
        else:
            shift = int(random.integers(1, top.size))
            yield np.roll(top, divmod(shift, width), axis=(0, 1))
