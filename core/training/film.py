"""A film of gradient maps along training: one frame per epoch."""

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..display.colours import FULL_COLOUR_PERCENTILE, colour_limit, intensity_rgb, signed_scale
from .along import MapsAlong

FilmFormat = Literal["webp", "gif"]
MOST_FRAMES = 60
_LARGEST_SIDE = 512
"""Of one pixel's picture; smaller images are enlarged by whole numbers, so that pixels stay squares."""
_GAP, _LINE, _FONT = 6, 26, ImageFont.load_default(15)
_MILLISECONDS, _LAST_MILLISECONDS = 500, 2000
_CONTRAST = 0.45
"""Of the image below a map."""
_INK, _GROUND, _MARK = (27, 31, 36), (255, 255, 255), (255, 196, 0)


def colour_ends(maps: MapsAlong, *, shared: bool) -> NDArray[np.float64]:
    """Where the colours of each map end, (E, P): its own, or one per pixel for all epochs.

    It is the 99.5th percentile of the magnitudes of Σ_c values that are not 0, so that a few do not hide the others.
    """
    ends = np.empty(maps.scores.shape)
    for pixel in range(len(maps.targets)):
        signed = [values.sum(axis=0) for values in maps.values[:, pixel]]
        each = [colour_limit(values[values != 0], percentile=FULL_COLOUR_PERCENTILE) if values.any() else 0.0
                for values in signed]  # fmt: skip
        ends[:, pixel] = max(each) if shared else each
    return np.where(ends > 0, ends, 1.0)


def film(maps: MapsAlong, image: NDArray[np.float32], *, shared: bool = False, kind: FilmFormat = "webp") -> bytes:
    """The maps over the image as an animated picture that repeats, one picture per pixel, two beside each other.

    Args:
        maps: From `gradient_maps_along`. Of more than 60 epochs, 60 evenly spread ones are shown.
        image: (C, H, W) in [0, 1], the image explained.
        shared: Whether the colours of a pixel's maps end at one value for all epochs, or each at its own.
        kind: "webp" (lossless) or "gif".

    Returns:
        The bytes of the file; two frames per second, the last one longer, at most 1042 pixels wide.
    """
    ends = colour_ends(maps, shared=shared)
    count = len(maps.epochs)
    places = np.unique(np.linspace(0, count - 1, min(count, MOST_FRAMES)).round().astype(int))
    captions = [_captions(maps, int(place)) for place in places]
    widest = max(round(_FONT.getlength(words)) for each in captions for words in each)
    frames = [
        _frame(maps, image, int(place), ends[place], words, widest)
        for place, words in zip(places, captions, strict=True)
    ]
    durations = [_MILLISECONDS] * (len(frames) - 1) + [_LAST_MILLISECONDS]
    buffer = io.BytesIO()
    more = {"lossless": True, "method": 0} if kind == "webp" else {"disposal": 1, "optimize": False}
    frames[0].save(buffer, kind.upper(), save_all=True, append_images=frames[1:], duration=durations, loop=0, **more)
    return buffer.getvalue()


def _captions(maps: MapsAlong, place: int) -> list[str]:
    """What stands below each pixel's picture."""
    return [
        f"row {row}, column {column}: {target.score.unit} {score:.3g}"
        for (row, column), target, score in zip(maps.pixels, maps.targets, maps.scores[place], strict=True)
    ]


def _frame(
    maps: MapsAlong,
    image: NDArray[np.float32],
    place: int,
    ends: NDArray[np.float64],
    captions: Sequence[str],
    least_width: int,
) -> Image.Image:
    # In light greys, since the ends of the colours are dark.
    base = (255 - _CONTRAST * (255 - intensity_rgb(image).astype(np.float32))).round().astype(np.uint8)
    tiles = []
    for index, (row, column) in enumerate(maps.pixels):
        scale = signed_scale(float(ends[index]))
        signed = maps.values[place, index].sum(axis=0)
        tile = _sized(Image.fromarray(scale.over(base, signed, scale.strength(signed))))
        _mark(tile, row, column, tile.height / base.shape[0])
        tiles.append(tile)
    width, height = max(tiles[0].width, least_width), tiles[0].height
    columns = min(2, len(tiles))
    rows = -(-len(tiles) // columns)
    size = columns * (width + _GAP) + _GAP, _LINE + rows * (height + _LINE)
    frame = Image.new("RGB", size, _GROUND)
    pen = ImageDraw.Draw(frame)
    pen.text((_GAP, 4), f"epoch {maps.epochs[place].epoch}", _INK, _FONT)
    for index, (tile, words) in enumerate(zip(tiles, captions, strict=True)):
        left, top = _GAP + index % 2 * (width + _GAP), _LINE + index // 2 * (height + _LINE)
        frame.paste(tile, (left, top))
        pen.text((left, top + height + 4), words, _INK, _FONT)
    return frame


def _sized(tile: Image.Image) -> Image.Image:
    """A picture enlarged by a whole number, or reduced."""
    longest = max(tile.size)
    if longest <= _LARGEST_SIDE:
        times = _LARGEST_SIDE // longest
        return tile.resize((tile.width * times, tile.height * times), Image.Resampling.NEAREST)
    shrink = _LARGEST_SIDE / longest
    size = max(1, round(tile.width * shrink)), max(1, round(tile.height * shrink))
    return tile.resize(size, Image.Resampling.BOX)


def _mark(tile: Image.Image, row: int, column: int, scale: float) -> None:
    """A cross whose arms leave the pixel and what is around it open."""
    pen = ImageDraw.Draw(tile)
    x, y, inner = (column + 0.5) * scale, (row + 0.5) * scale, max(14.0, scale)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        ends = (x + dx * inner, y + dy * inner, x + dx * (inner + 12), y + dy * (inner + 12))
        pen.line(ends, (0, 0, 0), 4)
        pen.line(ends, _MARK, 2)
