"""Images and masks from files: intensities in [0, 1] or class indices, and the number of channels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import UserError
from .decoding import decode_image

Scaling = Literal["dtype", "percentile"]

MAX_CLASS = 1023
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
PERCENTILES = (0.5, 99.5)

_WHITE = (255, 65535)
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image and how it was read.

    Attributes:
        values: float32 (C, H, W) in [0, 1].
        name: Name of the file.
        notes: Changes to the stored values in words: the scaling, a dropped alpha channel, a rotation.
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
        source: A path, or the file's bytes. The content decides the format, not the suffix.
        scaling: "dtype": integers are divided by the largest value of their type (255, 65535); floats in [0, 1] stay,
            others are scaled from their minimum and maximum. "percentile": the values between the 0.5th and the 99.5th
            percentile, over all channels, are stretched to [0, 1] and those outside clipped.
        name: Name for bytes in messages.

    Returns:
        Grey (1, H, W), colour (3, H, W) or many channels (C, H, W). An alpha channel is dropped, the EXIF orientation
        applied, the pages of a TIFF taken as channels; the notes say so.

    Raises:
        UserError: A file that is missing, empty, broken, too large or smaller than 8×8 pixels, or pixels that are not
            finite.
    """
    stored, name, notes = decode_image(source, name)
    return LoadedImage(scale_intensities(stored, scaling, name, notes), name, tuple(notes))


def read_mask(source: str | Path | bytes, name: str = "") -> np.ndarray:
    """The class index of every pixel, int64 (H, W), from an index mask or a black-and-white mask (0 and 255).

    Raises:
        UserError: As for `load_image`, or a mask with different colour channels.
    """
    stored, name, _ = decode_image(source, name, keep_palette=True)
    return classes_of_mask(stored, name)


def classes_of_mask(stored: np.ndarray, name: str) -> np.ndarray:
    """The class indices (H, W) in the stored values (C, H, W) of a mask; see `read_mask`."""
    if stored.dtype.kind not in "bui" and not (stored == np.floor(np.abs(stored.real))).all():
        raise UserError(f"{name} is no mask: it holds values that are not whole numbers from 0 on.")
    if (stored != stored[:1]).any():
        raise UserError(f"{name} is a colour picture; a mask has one channel that holds class indices, or 0 and 255.")
    mask = stored[0].astype(np.int64)
    values = np.unique(stored[0]).astype(np.int64)  # many times faster than of 64-bit numbers
    if values[0] < 0:
        raise UserError(f"{name} is no mask: it holds values below 0.")
    if values[-1] in _WHITE and set(values.tolist()) <= {0, values[-1]}:
        return (mask > 0).astype(np.int64)
    if values[-1] > MAX_CLASS:
        raise UserError(f"{name} is no mask of classes: it holds the value {values[-1]}; classes go up to {MAX_CLASS}.")
    return mask


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """The image (C, H, W) with another number of channels: RGB to grey by ITU-R BT.601 luma, or grey repeated.

    Raises:
        UserError: Any other change, which would need to guess.
    """
    if image.shape[0] == channels:
        return image
    if image.shape[0] == 3 and channels == 1:
        return np.tensordot(_LUMA, image, axes=1)[None].astype(np.float32)
    if image.shape[0] == 1:
        return np.repeat(image, channels, axis=0)
    raise UserError(
        f"An image of {image.shape[0]} channels cannot be turned into one of {channels} without choosing among them; "
        "save those that the network needs as a file of their own."
    )


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


def scale_intensities(stored: np.ndarray, scaling: Scaling, name: str, notes: list[str]) -> np.ndarray:
    """Stored values (C, H, W) as float32 in [0, 1], with a note on how; see `load_image`."""
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
