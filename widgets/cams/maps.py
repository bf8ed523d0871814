"""Class activation maps as pictures: scales, thumbnails, and the difference of two maps."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from PIL import Image as PillowImage

from core.attribution import Attribution
from core.attribution.registry import METHODS
from core.display.colours import DIVERGING, SEQUENTIAL, blend, diverging_rgb, intensity_rgb, png_bytes, sequential_rgb
from core.display.figures import magnitude_figure

SCALES = {"own": "Each its own", "method": "One per method", "all": "One for all"}
_THUMBNAIL = 96


@dataclass(frozen=True)
class MapView:
    """How maps are shown.

    Attributes:
        positive: ReLU first, as the papers do; else signed.
        scale: One of `SCALES`: whose largest value ends the colour scale.
        opacity: Opacity of the map over the image, in [0, 1].
        proportion: Where the colour scale ends, as a fraction of that largest value.
    """

    positive: bool
    scale: str
    opacity: float
    proportion: float = 1.0


def largest_value(attribution: Attribution, *, positive: bool) -> float:
    """The end of a map's own colour scale: of the raw map at the layer's size."""
    values = attribution.signed_map()
    return float(values.max() if positive else np.abs(values).max())


def colour_limit(attribution: Attribution, atlas: Mapping[tuple[str, str], Attribution], view: MapView) -> float:
    """The end of the colour scale of one map beside those of an atlas; 1 where none of them has any."""
    shown = [attribution]
    if view.scale != "own":
        shown += [other for (_, method), other in atlas.items() if view.scale == "all" or method == attribution.method]
    largest = max(largest_value(other, positive=view.positive) for other in shown)
    return view.proportion * max(0.0, largest) or 1.0


def atlas_sprite(
    atlas: Mapping[tuple[str, str], Attribution], layers: Sequence[str], methods: Sequence[str], view: MapView
) -> bytes:
    """All maps as one PNG: a row per method, a column per layer, each map resized to the same thumbnail."""
    limits = {key: colour_limit(attribution, atlas, view) for key, attribution in atlas.items()}
    rows = []
    for method in methods:
        maps = [thumbnail(atlas[layer, method], limits[layer, method], positive=view.positive) for layer in layers]
        rows.append(np.concatenate(maps, axis=1))
    return palette_png(np.concatenate(rows, axis=0))


def thumbnail(attribution: Attribution, limit: float, *, positive: bool) -> np.ndarray:
    """A map over the image's area, its longer side `_THUMBNAIL` pixels, coloured up to `limit`."""
    values = attribution.signed_map()
    values = np.maximum(values, 0) if positive else values
    height, width = attribution.image_size
    padded_height, padded_width = attribution.padded_size or attribution.image_size
    rows, columns = values.shape[0] * height / padded_height, values.shape[1] * width / padded_width
    size = thumbnail_size((height, width))
    small = PillowImage.fromarray(values.astype(np.float32)).resize(
        (size[1], size[0]), PillowImage.Resampling.BILINEAR, box=(0, 0, columns, rows)
    )
    return (sequential_rgb if positive else diverging_rgb)(np.asarray(small), limit)


def thumbnail_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the thumbnail of an image of `size`."""
    scale = _THUMBNAIL / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def normalised_difference(first: Attribution, second: Attribution, *, positive: bool) -> np.ndarray:
    """First / max|first| - second / max|second|, of the maps at the image's size, in [-2, 2]; a map of zeros stays."""
    maps = [attribution.at_image_size(positive=positive) for attribution in (first, second)]
    first_map, second_map = (values / (float(np.abs(values).max()) or 1.0) for values in maps)
    return first_map - second_map


def share_inside(attribution: Attribution, mask: np.ndarray) -> float:
    """The share of the positive map, at the image's size, that lies in `mask` (H, W); NaN for a map of zeros."""
    values = attribution.at_image_size(positive=True)
    total = float(values.sum(dtype=np.float64))
    return float(values[mask].sum(dtype=np.float64)) / total if total else float("nan")


def overlay_figure(
    image: np.ndarray, values: np.ndarray, limits: tuple[float, float], unit: str, opacity: float, revision: str
) -> go.Figure:
    """A map (H, W) over its image (C, H, W) in grey, with a colour bar; hovering tells the map's values.

    Limits from 0 on are drawn on the sequential scale, others on the diverging one.
    """
    scale = SEQUENTIAL if limits[0] == 0 else DIVERGING
    figure = magnitude_figure(values, unit, limits, revision, scale)
    figure.update_traces(opacity=opacity)
    height, width = values.shape
    grey = png_bytes(intensity_rgb(image.mean(axis=0, keepdims=True)))
    figure.add_layout_image(
        source="data:image/png;base64," + base64.b64encode(grey).decode(),
        x=-0.5,
        y=-0.5,
        sizex=width,
        sizey=height,
        xref="x",
        yref="y",
        layer="below",
        sizing="stretch",
        xanchor="left",
        yanchor="top",
    )
    return figure


def mask_over(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (H, W, 3) with a pixel set (H, W) tinted and outlined."""
    padded = np.pad(mask, 1, mode="edge")
    core = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return blend(picture, colour, np.where(mask & ~core, 0.95, np.where(mask, 0.4, 0.0)))


def title(method: str, layer: str) -> str:
    """What a map is called."""
    return f"{METHODS[method].title} at {layer}"


def palette_png(picture: np.ndarray) -> bytes:
    """A picture of few colours, which take a third of the bytes as indices into a palette; of many, as it is."""
    packed = picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    colours, indices = np.unique(packed, return_inverse=True)
    if len(colours) > 256:
        return png_bytes(picture)
    shown = PillowImage.fromarray(indices.reshape(packed.shape).astype(np.uint8), "P")
    shown.putpalette((colours[:, None] >> np.array([16, 8, 0], dtype=np.uint32) & 255).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
