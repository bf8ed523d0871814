"""Maps and masks to RGB pictures: NumPy in, uint8 (H, W, 3) out. The values themselves are never changed."""

import io
from functools import cache

import numpy as np
from PIL import Image as PillowImage
from plotly.colors import hex_to_rgb, sample_colorscale, unlabel_rgb

DIVERGING = "RdBu_r"
"""For signed maps: blue below 0, white at 0, red above."""
SEQUENTIAL = "Viridis"
"""For magnitudes and probabilities."""
CLASS_COLOURS = ("#1b1f24", "#19c3b2", "#f2a541", "#c678dd", "#5aa9e6", "#e4572e", "#a3be3c", "#ff7eb6", "#8d99ae")
"""One a class, the first for the background; used again from the second on where there are more classes."""
POSITIVE, NEGATIVE = "#ff4d4d", "#3d9bff"
"""Pixels above a threshold, by sign: the ends of the diverging scale, bright enough for a dark image."""
SELECTION = "#d6246e"
"""Crosshair and bounding box: a colour that no map uses."""


def intensity_rgb(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) in [0, 1] as a picture: grey, colour, or the mean of any other number of channels."""
    shown = image if image.shape[0] in (1, 3) else image.mean(axis=0, keepdims=True)
    levels = np.round(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels.transpose(1, 2, 0), (*image.shape[1:], 3)))


def diverging_rgb(values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """A signed map (H, W) with symmetric limits ±`limit`, by default its largest magnitude."""
    limit = limit or float(np.abs(values).max()) or 1.0
    return _look_up(values / limit / 2 + 0.5, DIVERGING)


def sequential_rgb(values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """A map of magnitudes (H, W) from 0 to `limit`, by default its maximum."""
    limit = limit or float(values.max()) or 1.0
    return _look_up(values / limit, SEQUENTIAL)


def class_colour(class_index: int) -> tuple[int, int, int]:
    """The colour of a class."""
    if class_index > 0:
        class_index = 1 + (class_index - 1) % (len(CLASS_COLOURS) - 1)
    return hex_to_rgb(CLASS_COLOURS[class_index])


def blend(base: np.ndarray, colour: np.ndarray | tuple[int, int, int], opacity: np.ndarray | float) -> np.ndarray:
    """`base` (H, W, 3) under a colour or a picture with an opacity in [0, 1], one number or (H, W)."""
    alpha = np.asarray(opacity, dtype=np.float32)
    if alpha.ndim == 2:
        alpha = alpha[..., None]
    return np.round(base * (1 - alpha) + np.asarray(colour, dtype=np.float32) * alpha).astype(np.uint8)


def labels_over(base: np.ndarray, labels: np.ndarray, opacity: float) -> np.ndarray:
    """`base` (H, W, 3) under the colours of the classes in `labels` (H, W); the background, class 0, stays clear."""
    table = np.array([class_colour(index) for index in range(int(labels.max()) + 1)], dtype=np.float32)
    return blend(base, table[labels], np.where(labels > 0, np.float32(opacity), np.float32(0)))


def signed_over(base: np.ndarray, values: np.ndarray, above: np.ndarray, opacity: float = 0.85) -> np.ndarray:
    """`base` (H, W, 3) with the pixels in `above` (H, W) tinted by the sign of `values` (H, W)."""
    tint = np.where(values[..., None] >= 0, np.float32(hex_to_rgb(POSITIVE)), np.float32(hex_to_rgb(NEGATIVE)))
    return blend(base, tint, above.astype(np.float32) * opacity)


def png_bytes(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) or (H, W), uint8, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _look_up(fractions: np.ndarray, scale: str) -> np.ndarray:
    table = _table(scale)
    return table[np.clip(np.round(fractions * (len(table) - 1)), 0, len(table) - 1).astype(np.intp)]


@cache
def _table(scale: str) -> np.ndarray:
    colours = sample_colorscale(scale, list(np.linspace(0, 1, 255)))
    return np.array([unlabel_rgb(colour) for colour in colours]).round().astype(np.uint8)
