"""Reading images and masks from files, bounded before they are decoded."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np
import tifffile
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from ..errors import UserError

Scaling = Literal["dtype", "percentile"]

MAX_BYTES = 512 * 2**20
MAX_PIXELS = 50_000_000
MAX_VALUES = 400_000_000
MIN_SIDE = 8
MAX_CLASS = 1023
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
PERCENTILES = (0.5, 99.5)

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ALPHA_SAMPLES = (1, 2)
_CHANNEL_AXES = "SC"
_WHITE = (255, 65535)


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image and how it was read.

    Attributes:
        values: float32 (C, H, W) in [0, 1].
        name: The file's name.
        notes: What was done to the stored values, in words: the scaling, a dropped alpha channel, a rotation.
    """

    values: np.ndarray
    name: str
    notes: tuple[str, ...]


def read_image(source: str | Path | bytes, scaling: Scaling = "dtype", name: str = "") -> np.ndarray:
    """The image in a PNG, JPEG or TIFF file as float32 (C, H, W) in [0, 1]; see `load_image`."""
    return load_image(source, scaling, name).values


def load_image(source: str | Path | bytes, scaling: Scaling = "dtype", name: str = "") -> LoadedImage:
    """The image in a PNG, JPEG or TIFF file, with notes on how it was read.

    Args:
        source: A path, or the file's bytes. What it is, is told by its content and not by its suffix.
        scaling: "dtype": integers are divided by the largest value of their type (255, 65535); floats in [0, 1] stay,
            others are scaled from their minimum and maximum. "percentile": the values between the 0.5th and the 99.5th
            percentile, over all channels, are stretched to [0, 1] and those outside clipped.
        name: What to call bytes in messages.

    Returns:
        Grey (1, H, W), colour (3, H, W) or many channels (C, H, W). An alpha channel is dropped, the EXIF orientation
        applied, the pages of a TIFF taken as channels; the notes say so.

    Raises:
        UserError: A file that is missing, empty, broken, too large or smaller than 8×8 pixels, or pixels that are not
            finite.
    """
    stored, name, notes = _read(source, name)
    return LoadedImage(_scale(stored, scaling, name, notes), name, tuple(notes))


def read_mask(source: str | Path | bytes, name: str = "") -> np.ndarray:
    """The class index of every pixel, int64 (H, W), from an index mask or a black-and-white mask (0 and 255).

    Raises:
        UserError: As for `load_image`, or a mask with different colour channels.
    """
    stored, name, _ = _read(source, name, keep_palette=True)
    if stored.dtype.kind not in "bui" and not (stored == np.floor(np.abs(stored.real))).all():
        raise UserError(f"{name} is no mask: it holds values that are not whole numbers from 0 on.")
    if (stored != stored[:1]).any():
        raise UserError(f"{name} is a colour picture; a mask has one channel that holds class indices, or 0 and 255.")
    mask = stored[0].astype(np.int64)
    values = np.unique(mask)
    if values[0] < 0:
        raise UserError(f"{name} is no mask: it holds values below 0.")
    if values[-1] in _WHITE and set(values.tolist()) <= {0, values[-1]}:
        return (mask > 0).astype(np.int64)
    if values[-1] > MAX_CLASS:
        raise UserError(f"{name} is no mask of classes: it holds the value {values[-1]}; classes go up to {MAX_CLASS}.")
    return mask


def stored_values(source: str | Path | bytes, name: str = "", *, keep_palette: bool = False) -> tuple[np.ndarray, str]:
    """The values (C, H, W) as the file holds them, and the file's name.

    Args:
        source: A path, or the file's bytes.
        name: What to call bytes in messages.
        keep_palette: Whether a PNG with a palette gives its indices rather than its colours.

    Raises:
        UserError: As for `load_image`.
    """
    stored, name, _ = _read(source, name, keep_palette=keep_palette)
    return stored, name


def image_files(folder: str | Path) -> list[Path]:
    """The PNG, JPEG and TIFF files in a folder, or in its subfolder `images` where there is one, sorted by name.

    Raises:
        UserError: There is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    inside = folder / "images" if (folder / "images").is_dir() else folder
    files = sorted(path for path in inside.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise UserError(f"The folder {inside} has no image in it ({', '.join(SUFFIXES)}).")
    return files


def _read(source: str | Path | bytes, name: str, *, keep_palette: bool = False) -> tuple[np.ndarray, str, list[str]]:
    """Stored values (C, H, W), the name, and notes."""
    content, name = _content(source, name)
    notes: list[str] = []
    if content.startswith(_TIFF_SIGNATURES):
        stored = _decode_tiff(content, name, notes)
    else:
        stored = _decode_with_pillow(content, name, notes, keep_palette=keep_palette)
    if min(stored.shape[1:]) < MIN_SIDE:
        raise UserError(
            f"{name} is {stored.shape[1]}×{stored.shape[2]} pixels; an image needs at least {MIN_SIDE}×{MIN_SIDE}."
        )
    return stored, name, notes


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
    try:
        with warnings.catch_warnings(action="ignore", category=PillowImage.DecompressionBombWarning):
            picture = PillowImage.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        with picture:
            _check_size(picture.height, picture.width, len(picture.getbands()), name)
            if picture.format == "PNG" and _png_depth(content) == 16 and len(picture.getbands()) > 1:
                return _channels_first(imagecodecs.png_decode(content), notes)  # Pillow would keep 8 of the 16 bits
            upright = ImageOps.exif_transpose(picture)
            if picture.getexif().get(0x0112, 1) != 1:
                notes.append("turned as its EXIF orientation says")
            return _pillow_values(upright, notes, keep_palette=keep_palette)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a PNG, JPEG or TIFF image, whatever its name says.") from error
    except PillowImage.DecompressionBombError as error:
        raise UserError(f"{name} has too many pixels; at most {MAX_PIXELS // 1_000_000} megapixels fit.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"{name} is broken or cut off and cannot be decoded ({error}).") from error


def _pillow_values(picture: PillowImage.Image, notes: list[str], *, keep_palette: bool) -> np.ndarray:
    if picture.mode == "P" and keep_palette:
        return np.asarray(picture)[None]
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode in ("P", "PA", "CMYK", "YCbCr"):
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


def _png_depth(content: bytes) -> int:
    """Bits a sample, from the header."""
    return content[24]


def _decode_tiff(content: bytes, name: str, notes: list[str]) -> np.ndarray:
    try:
        with tifffile.TiffFile(io.BytesIO(content), _multifile=False) as file:
            series = file.series[0]
            shape, axes, page = series.shape, series.axes, series.pages[0]
            kept = [index for index, length in enumerate(shape) if length > 1 or axes[index] in "YX"]
            shape, axes = tuple(shape[i] for i in kept), "".join(axes[i] for i in kept)
            if len(shape) not in (2, 3):
                raise UserError(
                    f"{name} has {len(shape)} dimensions ({axes}); save one plane or stack of channels as its own file."
                )
            channel_axis = _channel_axis(axes, shape)
            height, width = (length for index, length in enumerate(shape) if index != channel_axis)
            _check_size(height, width, 1 if channel_axis is None else shape[channel_axis], name)
            if len(file.series) > 1:
                notes.append(f"the first of {len(file.series)} pictures in the file")
            values = _true_intensities(series.asarray().reshape(shape), page, notes)
            has_alpha = any(sample in _ALPHA_SAMPLES for sample in getattr(page, "extrasamples", ()))
    except UserError:
        raise
    except Exception as error:  # tifffile raises whatever its decoders raise
        raise UserError(f"{name} is broken or cut off and cannot be decoded ({error}).") from error
    if channel_axis is None:
        return values[None]
    values = np.moveaxis(values, channel_axis, 0)
    if axes[channel_axis] not in _CHANNEL_AXES:
        notes.append(f"{values.shape[0]} pages read as channels")
    if has_alpha and axes[channel_axis] == "S":
        notes.append("alpha channel dropped")
        values = values[:-1]
    return values


def _true_intensities(values: np.ndarray, page: object, notes: list[str]) -> np.ndarray:
    """Values where larger is brighter, whatever the file's photometric interpretation."""
    photometric = getattr(page, "photometric", None)
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE and values.dtype.kind == "u":
        notes.append("inverted, as the file counts from white")
        return np.iinfo(values.dtype).max - values
    if photometric == tifffile.PHOTOMETRIC.PALETTE:
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


def _scale(stored: np.ndarray, scaling: Scaling, name: str, notes: list[str]) -> np.ndarray:
    if stored.dtype.kind not in "buif":
        raise UserError(f"{name} holds values of the type {stored.dtype}, which are not intensities.")
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        broken = int((~np.isfinite(stored)).sum())
        raise UserError(f"{name} has {broken} values that are not finite (NaN or infinite); replace them first.")
    if scaling == "percentile":
        low, high = (float(value) for value in np.percentile(stored, PERCENTILES))
        notes.append(f"percentiles {PERCENTILES[0]} and {PERCENTILES[1]} ({low:g} … {high:g}) mapped to 0 … 1")
    else:
        low, high = _dtype_range(stored)
        notes.append(f"{stored.dtype}, {low:g} … {high:g} mapped to 0 … 1")
    if high <= low:
        high = low + 1.0
    scaled = np.empty(stored.shape, np.float32)
    for channel, values in zip(scaled, stored, strict=True):
        # In double precision: a narrow range around a large number would be lost in single.
        channel[...] = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return scaled


def _dtype_range(stored: np.ndarray) -> tuple[float, float]:
    if stored.dtype.kind == "b":
        return 0.0, 1.0
    if stored.dtype.kind in "ui":
        limits = np.iinfo(stored.dtype)
        return (float(limits.min) if stored.min() < 0 else 0.0), float(limits.max)
    low, high = float(stored.min()), float(stored.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
