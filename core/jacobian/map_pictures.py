"""Maps of a Jacobian as pictures. What is counted and stored is not changed."""

import numpy as np

from ..display.colours import blend, colour_limit, magnitude_scale

DIMMED = 0.65
"""How much the image is darkened where a map has no value."""


def filled(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """A map (H, W) whose unknown pixels take the value of the nearest known one; as it is where nothing is known.

    So a coarse grid looks like a coarse picture of the whole image. `known`, bool (H, W), defaults to all that is not
    NaN; a known NaN is a value like any other.
    """
    known = ~np.isnan(values) if known is None else known
    if known.all() or not known.any():
        return values
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import

    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


def map_over(base: np.ndarray, values: np.ndarray, limit: float) -> np.ndarray:
    """A map (H, W) from 0 to `limit` as a picture, and where it is NaN the picture `base` (H, W, 3), dimmed."""
    picture = magnitude_scale(limit).rgb(np.nan_to_num(values))
    unknown = np.isnan(values)
    picture[unknown] = blend(base, (0, 0, 0), DIMMED)[unknown]
    return picture


def decades(values: np.ndarray, num_decades: int = 4) -> np.ndarray:
    """log10 of a map over its maximum, cut off at -`num_decades`; all at the cut for a map of zeros."""
    share = np.maximum(values / colour_limit(values), 10.0**-num_decades)
    return np.log10(share).astype(np.float32)
