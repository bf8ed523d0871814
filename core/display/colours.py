"""Maps and masks to RGB pictures: NumPy in, uint8 (H, W, 3) out. The values themselves are never changed."""

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image as PillowImage

DIVERGING = "RdBu_r"
"""For signed maps: blue below 0, white at 0, red above."""
SEQUENTIAL = "Viridis"
"""For magnitudes and probabilities."""
STOPS = {
    DIVERGING: "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f",
    SEQUENTIAL: "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
}
"""The colours that Plotly interpolates, under its own names, as "rrggbb"; here, since Plotly is slow to import."""
CLASS_COLOURS = ("#1b1f24", "#19c3b2", "#f2a541", "#776600", "#bbbbff", "#aa4455", "#8811ff", "#cc66ff", "#336699")
"""One per class, the first for the background; more classes use them again from the second on.

They stay apart for colour-blind people too: chosen for the largest distance under simulation, see the tests.
"""
FULL_COLOUR_PERCENTILE = 99.5
"""Percentile of a map's magnitudes, those that are not 0, at which colours end that a few large values must not set."""


def intensity_rgb(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) in [0, 1] as a picture: grey, colour, or the mean of any other number of channels."""
    shown = image if image.shape[0] in (1, 3) else image.mean(axis=0, keepdims=True)
    levels = np.round(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels.transpose(1, 2, 0), (*image.shape[1:], 3)))


@dataclass(frozen=True)
class ColourScale:
    """Colours for the values of a map (H, W); values outside the limits take the colours of the ends.

    Attributes:
        low: Value at which the colours begin.
        high: Value at which they end.
        colours: `DIVERGING` or `SEQUENTIAL`.
    """

    low: float
    high: float
    colours: str

    @property
    def is_signed(self) -> bool:
        """Whether the scale diverges from 0 in the middle."""
        return self.colours == DIVERGING

    def rgb(self, values: np.ndarray) -> np.ndarray:
        """A map as a picture (H, W, 3)."""
        table = _table(self.colours)
        fractions = values / self.high / 2 + 0.5 if self.is_signed else (values - self.low) / (self.high - self.low)
        return table[np.clip(np.round(fractions * (len(table) - 1)), 0, len(table) - 1).astype(np.intp)]

    def strength(self, values: np.ndarray) -> np.ndarray:
        """|values| / high, at most 1: an opacity that lets the base show where a map is weak."""
        return np.minimum(np.abs(values) / self.high, 1)

    def over(self, base: np.ndarray, values: np.ndarray, opacity: np.ndarray | float) -> np.ndarray:
        """`base` (H, W, 3) under a map with an opacity in [0, 1], one number or (H, W)."""
        return blend(base, self.rgb(values), opacity)


def signed_scale(limit: float) -> ColourScale:
    """The diverging scale from -limit to limit."""
    return ColourScale(-limit, limit, DIVERGING)


def magnitude_scale(limit: float) -> ColourScale:
    """The sequential scale from 0 to limit."""
    return ColourScale(0.0, limit, SEQUENTIAL)


def colour_limit(*maps: np.ndarray, percentile: float = 100.0, proportion: float = 1.0) -> float:
    """Limit of a colour scale that maps share; a percentile below 100 keeps a few large values from hiding the others.

    Args:
        maps: Maps of any shape; NaN is left out.
        percentile: Percentile of the magnitudes, of the map where it is largest. Where it is 0, the maximum is taken.
        proportion: Proportion of that value.

    Returns:
        1 for maps of zeros.
    """
    for share in (percentile, 100.0):
        if largest := max(_percentile(values, share) for values in maps):
            return proportion * largest
    return 1.0


def class_colour(class_index: int) -> tuple[int, int, int]:
    """The colour of a class."""
    if class_index > 0:
        class_index = 1 + (class_index - 1) % (len(CLASS_COLOURS) - 1)
    return _rgb_of(CLASS_COLOURS[class_index])


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


def png_bytes(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) or (H, W), uint8, as the bytes of a PNG file."""
    return _png(PillowImage.fromarray(picture))


def _png(picture: PillowImage.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _percentile(values: np.ndarray, share: float) -> float:
    sizes = np.abs(values)
    if share == 100:  # a tenth of the time of a percentile
        return float(np.nanmax(sizes, initial=0))
    known = sizes[~np.isnan(sizes)]
    return float(np.percentile(known, share)) if known.size else 0.0


@cache
def _table(scale: str) -> np.ndarray:
    """The colours (255, 3) of a scale from its lower end to its upper one."""
    stops = np.array([_rgb_of(colour) for colour in STOPS[scale].split()])
    places, known = np.linspace(0, 1, 255), np.linspace(0, 1, len(stops))
    return np.stack([np.interp(places, known, channel) for channel in stops.T], axis=1).round().astype(np.uint8)


def _rgb_of(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
