"""Class activation maps as pictures: scales, thumbnails, and the difference of two maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage

from core.attribution import Attribution
from core.display.colours import ColourScale, colour_limit, magnitude_scale, palette_png, signed_scale

SCALES = {"own": "Own", "method": "Per method", "all": "Shared"}
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


def scale_of(attribution: Attribution, atlas: Mapping[tuple[str, str], Attribution], view: MapView) -> ColourScale:
    """The colour scale of one map beside those of an atlas, by the raw maps at the layers' size."""
    shown = [attribution]
    if view.scale != "own":
        shown += [other for (_, method), other in atlas.items() if view.scale == "all" or method == attribution.method]
    maps = (_raw_map(other, positive=view.positive) for other in shown)
    return (magnitude_scale if view.positive else signed_scale)(colour_limit(*maps, proportion=view.proportion))


def atlas_sprite(
    atlas: Mapping[tuple[str, str], Attribution], layers: Sequence[str], methods: Sequence[str], view: MapView
) -> bytes:
    """All maps as one PNG: one row per method, one column per layer, each map resized to the same thumbnail."""
    cells = [[atlas[layer, method] for layer in layers] for method in methods]
    return palette_png(
        np.vstack([np.hstack([thumbnail(one, scale_of(one, atlas, view)) for one in row]) for row in cells])
    )


def thumbnail(attribution: Attribution, scale: ColourScale) -> np.ndarray:
    """A map over the image's area in the colours of `scale`, its longer side `_THUMBNAIL` pixels."""
    values = _raw_map(attribution, positive=not scale.is_signed)
    height, width = attribution.image_size
    padded_height, padded_width = attribution.padded_size or attribution.image_size
    rows, columns = values.shape[0] * height / padded_height, values.shape[1] * width / padded_width
    small = PillowImage.fromarray(values.astype(np.float32))
    size = thumbnail_size((height, width))[::-1]
    return scale.rgb(np.asarray(small.resize(size, PillowImage.Resampling.BILINEAR, box=(0, 0, columns, rows))))


def thumbnail_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the thumbnail of an image of `size`."""
    scale = _THUMBNAIL / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def normalised_difference(first: Attribution, second: Attribution, *, positive: bool) -> np.ndarray:
    """First / max|first| - second / max|second|, of the maps at the image's size, in [-2, 2]; a map of zeros stays."""
    maps = [attribution.at_image_size(positive=positive) for attribution in (first, second)]
    first_map, second_map = (values / colour_limit(values) for values in maps)
    return first_map - second_map


def share_inside(attribution: Attribution, mask: np.ndarray) -> float:
    """The share of the positive map, at the image's size, that lies in `mask` (H, W); NaN for a map of zeros."""
    values = attribution.at_image_size(positive=True)
    total = float(values.sum(dtype=np.float64))
    return float(values[mask].sum(dtype=np.float64)) / total if total else float("nan")


def _raw_map(attribution: Attribution, *, positive: bool) -> np.ndarray:
    values = attribution.signed_map()
    return np.maximum(values, 0) if positive else values
