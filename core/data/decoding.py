"""The values that PNG, JPEG and TIFF files hold, bounded before they are decoded."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from ..errors import UserError

MAX_BYTES = 512 * 2**20
MAX_PIXELS = 50_000_000
MAX_VALUES = 400_000_000
MIN_SIDE = 8

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA_SAMPLES = (1, 2)
_COUNTED_FROM_WHITE, _PALETTE = 0, 3
"""Photometric interpretations, as the TIFF specification numbers them."""
_CHANNEL_AXES = "SC"
_ORIENTATION = 0x0112
"""The EXIF tag."""
_TO_RGB = ("P", "PA", "CMYK", "YCbCr")
"""Pillow's modes of pictures that are converted to RGB."""


def decode_image(
    source: str | Path | bytes, name: str = "", *, keep_palette: bool = False
) -> tuple[np.ndarray, str, list[str]]:
    """The values (C, H, W) that a file holds, the file's name, and notes on what was changed.

    Args:
        source: A path, or the file's bytes.
        name: Name for bytes in messages.
        keep_palette: Whether a PNG with a palette gives its indices rather than its colours.

    Raises:
        UserError: A file that is missing, empty, broken, too large or smaller than 8×8 pixels.
    """
    content, name = _content(source, name)
    notes: list[str] = []
    with _refusing_what_cannot_be_decoded(name):
        if content.startswith(_TIFF_SIGNATURES):
            stored = _decode_tiff(content, name, notes)
        else:
            stored = _decode_with_pillow(content, name, notes, keep_palette=keep_palette)
    if min(stored.shape[1:]) < MIN_SIDE:
        raise UserError(
            f"{name} is {stored.shape[1]}×{stored.shape[2]} pixels; an image needs at least {MIN_SIDE}×{MIN_SIDE}."
        )
    return stored, name, notes


def count_channels(path: Path) -> int:
    """The number of channels that `decode_image` would give, from the file's header alone; errors as `read_shape`."""
    return read_shape(path)[0]


def read_shape(path: Path) -> tuple[int, int, int]:
    """Channels, height and width that `decode_image` would give, from the file's header alone.

    Raises:
        UserError: A file that is missing or whose header cannot be read.
    """
    if not path.is_file():
        raise UserError(f"There is no image file {path}.")
    with _refusing_what_cannot_be_decoded(path.name), path.open("rb") as file:
        if file.read(4).startswith(_TIFF_SIGNATURES):
            import tifffile  # noqa: PLC0415 - only TIFF files need it

            file.seek(0)
            with tifffile.TiffFile(file, _multifile=False) as tiff:
                shape, axes, channel_axis = _tiff_layout(tiff.series[0], path.name)
                height, width = (length for index, length in enumerate(shape) if index != channel_axis)
                if channel_axis is None:
                    return 1, height, width
                alpha = axes[channel_axis] == "S" and _has_alpha(tiff.series[0].pages[0])
                return int(shape[channel_axis]) - alpha, height, width
        file.seek(0)
        with PillowImage.open(file, formats=("PNG", "JPEG")) as picture:
            bands = 3 if picture.mode in _TO_RGB else len(picture.getbands())
            height, width = picture.height, picture.width
            has_exif = picture.format == "JPEG" or "exif" in picture.info  # a PNG without would be decoded to look
            if has_exif and picture.getexif().get(_ORIENTATION, 1) > 4:  # it is turned by a quarter
                height, width = width, height
            return bands - (bands in (2, 4)), height, width  # without the alpha channel


@contextmanager
def _refusing_what_cannot_be_decoded(name: str) -> Iterator[None]:
    try:
        yield
    except (UserError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a PNG, JPEG or TIFF image, whatever its name says.") from error
    except PillowImage.DecompressionBombError as error:
        raise UserError(f"{name} has too many pixels; at most {MAX_PIXELS // 1_000_000} megapixels fit.") from error
    except Exception as error:  # tifffile raises whatever its decoders raise
        raise UserError(f"{name} is broken or cut off and cannot be decoded ({error}).") from error


def _content(source: str | Path | bytes, name: str) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        name = name or "The image"
        size = len(source)
    else:
        path = Path(source)
        name = name or path.name
        if not path.is_file():
            raise UserError(f"There is no image file {path}.")
        size = path.stat().st_size
    if size == 0:
        raise UserError(f"{name} is empty (0 bytes); choose another file.")
    if size > MAX_BYTES:
        raise UserError(f"{name} has {size / 2**20:.0f} MB; an image file may have {MAX_BYTES // 2**20} MB at most.")
    return (source if isinstance(source, bytes) else Path(source).read_bytes()), name


def _check_size(height: int, width: int, channels: int, name: str) -> None:
    if height * width > MAX_PIXELS:
        raise UserError(
            f"{name} is {height}×{width} = {height * width / 1e6:.0f} megapixels; at most "
            f"{MAX_PIXELS // 1_000_000} can be read, so crop or shrink it."
        )
    if height * width * channels > MAX_VALUES:
        raise UserError(f"{name} has {channels} channels of {height}×{width} pixels, which is too much to be read.")


def _decode_with_pillow(content: bytes, name: str, notes: list[str], *, keep_palette: bool) -> np.ndarray:
    with warnings.catch_warnings(action="ignore", category=PillowImage.DecompressionBombWarning):
        picture = PillowImage.open(io.BytesIO(content), formats=("PNG", "JPEG"))
    with picture:
        _check_size(picture.height, picture.width, len(picture.getbands()), name)
        # A PNG's byte 24 is its bits per sample.
        if picture.format == "PNG" and content[24] == 16 and len(picture.getbands()) > 1:
            import imagecodecs  # noqa: PLC0415 - slow to import, and few files need it

            return _channels_first(imagecodecs.png_decode(content), notes)  # Pillow would keep 8 of the 16 bits
        upright = ImageOps.exif_transpose(picture)
        if picture.getexif().get(_ORIENTATION, 1) != 1:
            notes.append("turned as its EXIF orientation says")
        return _pillow_values(upright, notes, keep_palette=keep_palette)


def _pillow_values(picture: PillowImage.Image, notes: list[str], *, keep_palette: bool) -> np.ndarray:
    if picture.mode == "P" and keep_palette:
        return np.asarray(picture)[None]
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode in _TO_RGB:
        notes.append(f"converted from {picture.mode} to RGB")
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    values = np.asarray(picture)
    if picture.mode.startswith("I"):  # a 16-bit grey PNG
        values = values.astype(np.uint16)
    return _channels_first(values, notes)


def _channels_first(values: np.ndarray, notes: list[str]) -> np.ndarray:
    """(H, W) or (H, W, bands) as (C, H, W), without the alpha band of two or four."""
    if values.ndim == 2:
        return values[None]
    if values.shape[-1] in (2, 4):
        notes.append("alpha channel dropped")
        values = values[..., :-1]
    return values.transpose(2, 0, 1)


def _decode_tiff(content: bytes, name: str, notes: list[str]) -> np.ndarray:
    import tifffile  # noqa: PLC0415 - only TIFF files need it

    with tifffile.TiffFile(io.BytesIO(content), _multifile=False) as file:
        series = file.series[0]
        page = series.pages[0]
        shape, axes, channel_axis = _tiff_layout(series, name)
        height, width = (length for index, length in enumerate(shape) if index != channel_axis)
        _check_size(height, width, 1 if channel_axis is None else shape[channel_axis], name)
        if len(file.series) > 1:
            notes.append(f"the first of {len(file.series)} pictures in the file")
        values = _true_intensities(series.asarray().reshape(shape), page, notes)
        has_alpha = _has_alpha(page)
    if channel_axis is None:
        return values[None]
    values = np.moveaxis(values, channel_axis, 0)
    if axes[channel_axis] not in _CHANNEL_AXES:
        notes.append(f"{values.shape[0]} pages read as channels")
    if has_alpha and axes[channel_axis] == "S":
        notes.append("alpha channel dropped")
        values = values[:-1]
    return values


def _tiff_layout(series: Any, name: str) -> tuple[tuple[int, ...], str, int | None]:
    """Lengths and names of the axes of a TIFF file's first picture, and which of them is that of the channels."""
    kept = [index for index, length in enumerate(series.shape) if length > 1 or series.axes[index] in "YX"]
    shape, axes = tuple(series.shape[i] for i in kept), "".join(series.axes[i] for i in kept)
    if len(shape) not in (2, 3):
        raise UserError(
            f"{name} has {len(shape)} dimensions ({axes}); save one plane or stack of channels as its own file."
        )
    return shape, axes, _channel_axis(axes, shape)


def _has_alpha(page: object) -> bool:
    return any(sample in _ALPHA_SAMPLES for sample in getattr(page, "extrasamples", ()))


def _true_intensities(values: np.ndarray, page: object, notes: list[str]) -> np.ndarray:
    """Values where larger is brighter, whatever the file's photometric interpretation."""
    photometric = getattr(page, "photometric", None)
    if photometric == _COUNTED_FROM_WHITE and values.dtype.kind == "u":
        notes.append("inverted, as the file counts from white")
        return np.iinfo(values.dtype).max - values
    if photometric == _PALETTE:
        notes.append("the palette is not applied: the stored indices are read")
    return values


def _channel_axis(axes: str, shape: tuple[int, ...]) -> int | None:
    if len(shape) == 2:
        return None
    for index, axis in enumerate(axes):
        if axis in _CHANNEL_AXES:
            return index
    others = [index for index, axis in enumerate(axes) if axis not in "YX"]
    return others[0] if len(others) == 1 else int(np.argmin(shape))
