"""The shape of a vessel mask at each pixel, to compare with the Jacobian."""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError


@dataclass(frozen=True, eq=False)
class VesselGeometry:
    """Width and skeleton of a mask.

    Attributes:
        mask: Bool (H, W), the vessels.
        skeleton: Bool (H, W), their centre lines, one pixel wide.
        width: Float32 (H, W), the vessel's width in pixels at the skeleton pixel nearest to each pixel.
        distance: Float32 (H, W), from each pixel to the nearest skeleton pixel, in pixels.
    """

    mask: np.ndarray
    skeleton: np.ndarray
    width: np.ndarray
    distance: np.ndarray


def vessel_geometry(mask: np.ndarray) -> VesselGeometry:
    """Skeleton (Zhang & Suen 1984), width and distance to the skeleton of a mask (H, W).

    The width is twice the distance from the centre line to the vessel's edge. It is measured on a grid of half pixels,
    where bars of an odd and of an even number of pixels both have their centre on the grid: a straight bar of n pixels
    has the width n. The image's border is no edge.

    Raises:
        UserError: A mask without vessels, or without anything else.
    """
    mask = np.asarray(mask) != 0
    if not mask.any() or mask.all():
        raise UserError("The mask needs both vessel and other pixels; take another mask or another image.")
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import
    from skimage.morphology import skeletonize  # noqa: PLC0415 - slow to import

    skeleton = skeletonize(mask)
    distance, nearest = distance_transform_edt(~skeleton, return_indices=True)
    halves = distance_transform_edt(mask.repeat(2, axis=0).repeat(2, axis=1))
    widest = halves.reshape(mask.shape[0], 2, mask.shape[1], 2).max(axis=(1, 3))
    return VesselGeometry(mask, skeleton, widest[tuple(nearest)].astype(np.float32), distance.astype(np.float32))


def medians(first: np.ndarray, second: np.ndarray, fewest: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The median of `second` at each whole number that `first` rounds to, where at least `fewest` entries do."""
    known = np.isfinite(first) & np.isfinite(second)
    place, values = np.round(first[known]), second[known]
    places = [centre for centre, count in zip(*np.unique(place, return_counts=True), strict=True) if count >= fewest]
    return np.array(places), np.array([np.median(values[place == centre]) for centre in places])
