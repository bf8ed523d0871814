"""Images that are the same or nearly so: a hash for the one, a correlation of small pictures for the other."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

SIDE = 32
NEAR = 0.95
"""From this correlation on two images are near-duplicates."""
NEAR_BESIDE_WHAT_IS_COMMON = 0.75
"""Likewise, of what remains of both without what all images of the set have in common, such as a fundus's disc."""

_SMOOTHING, _CLIP = 2.0, 2.0
_ENOUGH_FOR_A_MEDIAN = 8
_BLOCK = 512
_TURNS = ("as it is", "turned by 90°", "turned by 180°", "turned by 270°")
_ORIENTATIONS = (*_TURNS, "mirrored", *(f"mirrored and {turn}" for turn in _TURNS[1:]))


@dataclass(frozen=True)
class Duplicate:
    """Two images that are the same or nearly so.

    Attributes:
        first: Index of the one.
        second: Index of the other, larger than `first`.
        similarity: Correlation of the two small pictures in [-1, 1]; 1 where the pixels are the same.
        is_exact: Whether the pixels are the same.
        orientation: How the second must be turned to look like the first, in words.
    """

    first: int
    second: int
    similarity: float
    is_exact: bool
    orientation: str


def pixel_hash(stored: np.ndarray) -> str:
    """SHA-256 of the stored values (C, H, W), whatever the format of the file."""
    digest = hashlib.sha256(f"{stored.dtype.str}{stored.shape}".encode())
    digest.update(np.ascontiguousarray(stored).data)
    return digest.hexdigest()


def fingerprint(image: np.ndarray) -> NDArray[np.float32]:
    """A small picture (32, 32) of an image (C, H, W) that keeps its details alone: mean 0, norm 1, or 0 everywhere.

    The mean of the channels, without its smooth part, with outliers clipped; so neither brightness nor contrast count.
    """
    from scipy import ndimage  # noqa: PLC0415 - slow to import, and only checks of data sets need it

    grey = PillowImage.fromarray(image.mean(axis=0, dtype=np.float32))
    small = np.asarray(grey.resize((SIDE, SIDE), PillowImage.Resampling.BOX))
    details = small - ndimage.gaussian_filter(small, _SMOOTHING, mode="nearest")
    details -= details.mean()
    spread = details.std()
    if spread < 1e-6:
        return np.zeros((SIDE, SIDE), np.float32)
    clipped = np.clip(details / spread, -_CLIP, _CLIP)
    return _normalised(clipped - clipped.mean()).astype(np.float32)


def find_duplicates(
    hashes: Sequence[str], fingerprints: NDArray[np.float32], parts: Sequence[str] | None = None
) -> list[Duplicate]:
    """The pairs of images that are the same or nearly so, also turned or mirrored; the most alike first.

    Crops are not found, nor copies whose details are lost in noise or blur.

    Args:
        hashes: `pixel_hash` of each image.
        fingerprints: `fingerprint` of each image, (N, 32, 32).
        parts: Part of the data set that each image belongs to; then only pairs across two parts are returned.
    """
    rest = np.zeros((SIDE, SIDE), np.float32)
    if len(hashes) >= _ENOUGH_FOR_A_MEDIAN:
        rest = np.median(fingerprints, axis=0)
    found: dict[tuple[int, int], tuple[float, int]] = {}
    flat, remains = _flat(fingerprints), _flat(_normalised(fingerprints - rest))
    for number in range(len(_ORIENTATIONS)):
        turned = _turned(fingerprints, number)
        others, other_remains = _flat(turned), _flat(_normalised(turned - rest))
        for start in range(0, len(hashes), _BLOCK):
            block = slice(start, start + _BLOCK)
            plain = flat[block] @ others.T
            alike = (plain >= NEAR) | (remains[block] @ other_remains.T >= NEAR_BESIDE_WHAT_IS_COMMON)
            for row, second in np.argwhere(alike).tolist():
                pair, similarity = (start + row, second), float(plain[row, second])
                if pair[0] < second and similarity > found.get(pair, (-1.0, 0))[0]:
                    found[pair] = similarity, number
    found |= dict.fromkeys(_same(hashes), (1.0, 0))
    duplicates = [
        Duplicate(*pair, min(similarity, 1.0), hashes[pair[0]] == hashes[pair[1]], _ORIENTATIONS[number])
        for pair, (similarity, number) in found.items()
        if parts is None or parts[pair[0]] != parts[pair[1]]
    ]
    return sorted(duplicates, key=lambda pair: (not pair.is_exact, -pair.similarity, pair.first, pair.second))


def _turned(pictures: np.ndarray, number: int) -> np.ndarray:
    mirrored = pictures[:, :, ::-1] if number >= 4 else pictures
    return np.rot90(mirrored, number % 4, axes=(1, 2))


def _flat(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1)


def _normalised(pictures: np.ndarray) -> np.ndarray:
    return pictures / np.maximum(np.linalg.norm(pictures, axis=(-2, -1), keepdims=True), 1e-9)


def _same(hashes: Sequence[str]) -> list[tuple[int, int]]:
    places: dict[str, list[int]] = {}
    for index, value in enumerate(hashes):
        places.setdefault(value, []).append(index)
    return [(first, second) for same in places.values() for i, first in enumerate(same) for second in same[i + 1 :]]
