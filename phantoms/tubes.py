"""Tubes around centre lines: their exact outline, and their look through a lens."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from .optics import Field

# Half-widths in pixels of the windows in which pieces of tube are drawn.
_REACHES = (3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 60)


@dataclass(frozen=True)
class Tube:
    """One vessel: a polyline with a radius, a brightness and a blur at each of its points.

    Attributes:
        points: Rows and columns of the centre line, subpixel, (N, 2), at most a few pixels from one to the next; pixel
            centres have whole coordinates.
        radius: Radius of the labelled tube in pixels, (N,).
        brightness: Intensity of the tube where it is in full view, (N,).
        blur: Standard deviation of the optical blur in pixels, (N,); 0 is a hard edge.
    """

    points: Field
    radius: Field
    brightness: Field
    blur: Field


@dataclass(frozen=True)
class Rendering:
    """A set of tubes on the pixel grid.

    Attributes:
        distance: Signed distance to the nearest outline in pixels, negative inside, (H, W); infinite far from all
            tubes.
        intensity: Maximum over all tubes of their blurred brightness, (H, W).
    """

    distance: Field
    intensity: Field


def render(tubes: list[Tube], shape: tuple[int, int], margin: float = 0.0, rim: float = 0.0) -> Rendering:
    """Draw tubes: outlines exact to the subpixel, brightness as a maximum projection.

    Each pair of neighbouring points is a piece whose radius changes linearly. A pixel q at distance d from the piece,
    nearest to the point where the radius is r, has the signed distance d - r. Across a wide straight tube the blurred
    brightness is the exact convolution of a box of half-width r with a Gaussian of standard deviation s,
    (erf((r - d) / (s √2)) + erf((r + d) / (s √2))) / 2.

    Args:
        tubes: Tubes to draw; points may lie outside the image.
        shape: (H, W).
        margin: How far in pixels the label's outline lies outside the light's edge.
        rim: How much brighter the wall is than the middle, as a fraction; 0 is a filled tube.
    """
    reach = _REACHES[-1]
    height, width = shape[0] + 2 * reach, shape[1] + 2 * reach
    distance = np.full(height * width, np.inf)
    intensity = np.zeros(height * width)
    pieces = _pieces(tubes, shape, reach)
    radius = pieces["radius"] + np.maximum(pieces["radius_step"], 0.0)
    half_length = np.hypot(pieces["rows"], pieces["columns"]) / 2
    wanted = np.ceil(np.maximum(radius, radius - margin + 2.5 * pieces["blur"]) + half_length + 0.75)
    groups = np.searchsorted(_REACHES, wanted).clip(max=len(_REACHES) - 1)
    for group in np.unique(groups):
        chosen = {name: values[groups == group] for name, values in pieces.items()}
        index, gaps, light = _draw(chosen, _REACHES[group], margin, rim, reach, width)
        np.minimum.at(distance, index, gaps)
        np.maximum.at(intensity, index, light)
    inside = (slice(reach, reach + shape[0]), slice(reach, reach + shape[1]))
    return Rendering(distance.reshape(height, width)[inside], intensity.reshape(height, width)[inside])


def _pieces(tubes: list[Tube], shape: tuple[int, int], reach: int) -> dict[str, Field]:
    """Cut tubes into their straight pieces; drop those too far outside the image to be seen."""
    empty = np.zeros((0, 2))
    start = np.concatenate([empty, *(tube.points[:-1] for tube in tubes)])
    step = np.concatenate([empty, *(np.diff(tube.points, axis=0) for tube in tubes)])
    pieces = {"row": start[:, 0], "column": start[:, 1], "rows": step[:, 0], "columns": step[:, 1]}
    for name in ("radius", "brightness", "blur"):
        values = [getattr(tube, name) for tube in tubes]
        pieces[name] = np.concatenate([np.zeros(0), *(value[:-1] for value in values)])
        pieces[f"{name}_step"] = np.concatenate([np.zeros(0), *(np.diff(value) for value in values)])
    near = np.ones(len(start), dtype=bool)
    for axis in (0, 1):
        near &= (start[:, axis] > 2 - reach) & (start[:, axis] < shape[axis] + reach - 3)
    near &= np.hypot(step[:, 0], step[:, 1]) > 0
    for axis in (0, 1):  # a window that misses the image altogether costs time and shows nothing
        seen = pieces["radius"] + 3 * pieces["blur"] + 3
        near &= (start[:, axis] > -seen) & (start[:, axis] < shape[axis] + seen)
    return {name: values[near] for name, values in pieces.items()}


def _draw(
    pieces: dict[str, Field], half: int, margin: float, rim: float, padding: int, width: int
) -> tuple[NDArray[np.int64], Field, Field]:
    """Places on the padded, flattened canvas in discs of `half` pixels around pieces, with distance and intensity."""
    offsets = np.arange(-half, half + 1.0)
    disc = np.hypot(offsets[:, None], offsets[None, :]) <= half
    row_offset = np.repeat(offsets, offsets.size)[None, disc.ravel()]
    column_offset = np.tile(offsets, offsets.size)[None, disc.ravel()]
    centre_row = np.rint(pieces["row"] + pieces["rows"] / 2)
    centre_column = np.rint(pieces["column"] + pieces["columns"] / 2)
    rows = row_offset + (centre_row - pieces["row"])[:, None]
    columns = column_offset + (centre_column - pieces["column"])[:, None]
    step_rows, step_columns = pieces["rows"][:, None], pieces["columns"][:, None]
    share = np.clip((rows * step_rows + columns * step_columns) / (step_rows**2 + step_columns**2), 0.0, 1.0)
    gap = np.hypot(rows - share * step_rows, columns - share * step_columns)

    def along(name: str) -> Field:
        return np.asarray(pieces[name][:, None] + share * pieces[f"{name}_step"][:, None])

    radius = along("radius")
    light = _profile(gap, np.maximum(radius - margin, 0.4 * radius), along("blur"), rim) * along("brightness")
    index = ((centre_row + padding) * width + centre_column + padding).astype(np.int64)[:, None] + (
        row_offset * width + column_offset
    ).astype(np.int64)
    return index.ravel(), (gap - radius).ravel(), light.ravel()


def _profile(gap: Field, radius: Field, blur: Field, rim: float) -> Field:
    """Blurred brightness of a tube at `gap` pixels from its centre line; its plateau is 1."""
    scale = np.sqrt(0.5) / np.maximum(blur, 1e-3)
    light = 0.5 * (erf((radius - gap) * scale) + erf((radius + gap) * scale))
    if rim:
        light = light * (1 - rim + rim * np.minimum(gap / radius, 1.0) ** 2)
    return np.asarray(light)
