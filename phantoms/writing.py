"""Phantoms as files, in folders that the library reads like any data set."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as PillowImage

from core.errors import UserError
from core.io.files import write_atomically

from .phantom import BLACK_AND_WHITE, Phantom, draw_phantom, find_kind

# Small seeds are what people type, and what the sample images are drawn with: networks must not be trained on those.
TRAINING_SEED = 1_000_000
_PARTS = {"train": 0, "val": 1_000_000, "test": 2_000_000}  # how far a part's seeds lie above those of "train"


def write_data_set(
    folder: Path,
    kind: str,
    count: int,
    validation: int = 0,
    test: int = 0,
    seed: int = TRAINING_SEED,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    bits: int = 8,
) -> list[Path]:
    """Write phantoms of a kind as a data set with `images/`, `masks/` and, where the kind has them, `skeletons/`.

    `palette.json` names the classes. With a validation part the data set comes split, as `train/`, `val/` and maybe
    `test/`. The training phantoms have the seeds from `seed` on, the validation phantoms those from seed + 1,000,000,
    the test phantoms those from seed + 2,000,000. The same arguments always give the same pixels.

    Args:
        folder: Where to write; made if missing. Files of the same names are replaced.
        kind: A key of `PHANTOM_KINDS`.
        count: Number of images, or of training images if there is a validation part.
        validation: Number of validation images; 0 leaves the data set undivided.
        test: Number of test images.
        seed: First seed. The sample images have seeds below 1,000; the default, 1,000,000, keeps clear of them.
        size: (H, W); by default the kind's own.
        channels: Number of channels, for kinds that leave the choice.
        bits: 8 or 16 bits per value, or 32: floating-point, exactly as drawn.

    Returns:
        The files, in the order written.

    Raises:
        UserError: An unknown kind, a size or channels that it does not have, or numbers that make no data set.
    """
    if bits not in (8, 16, 32):
        raise UserError(f"Images have 8, 16 or 32 bits per value, not {bits}.")
    if count < 1 or min(validation, test, seed) < 0 or (test and not validation):
        raise UserError("A data set needs at least one image, no negative numbers, and validation beside test images.")
    palette = find_kind(kind).palette
    written = [write_atomically(folder / "palette.json", json.dumps(palette, indent=2).encode())]
    for (part, distance), images in zip(_PARTS.items(), (count, validation, test), strict=True):
        for number in range(seed + distance, seed + distance + images):
            phantom = draw_phantom(kind, number, size, channels)
            place = folder / part if validation else folder
            written += write_phantom(place, f"{kind}_{number}", phantom, palette, bits)
    return written


def write_phantom(
    folder: Path, stem: str, phantom: Phantom, palette: Mapping[str, str], bits: int = 8, masks: str = "masks"
) -> list[Path]:
    """Write a phantom's image, mask and skeleton; each call writes the same bytes.

    Images are PNG if they have three channels of 8 bits, else TIFF. Masks of black and white palettes have one bit per
    pixel, others hold class indices that viewers show in the palette's colours.

    Args:
        folder: Where `images/`, `masks/` and `skeletons/` are.
        stem: Name of the files without their suffix.
        phantom: Phantom to write.
        palette: Name and colour of each class.
        bits: Bits per value: 8, 16, or 32 for floating-point.
        masks: Name of the folder for the masks.
    """
    pixels = _quantise(phantom.image, bits)
    if bits == 8 and len(pixels) == 3:
        written = [_write_png(folder / "images" / f"{stem}.png", pixels.transpose(1, 2, 0))]
    else:
        written = [_write_tiff(folder / "images" / f"{stem}.tiff", pixels[0] if len(pixels) == 1 else pixels)]
    if palette == BLACK_AND_WHITE:
        written.append(_write_png(folder / masks / f"{stem}.png", phantom.mask > 0))
    else:
        colours = b"".join(bytes.fromhex(colour.removeprefix("#")) for colour in palette.values())
        written.append(_write_png(folder / masks / f"{stem}.png", phantom.mask, colours))
    if phantom.skeleton is not None:
        written.append(_write_png(folder / "skeletons" / f"{stem}.png", phantom.skeleton))
    return written


def _quantise(image: NDArray[np.float32], bits: int) -> NDArray[np.generic]:
    """Intensities in [0, 1] as whole numbers over the type's full range; as they are for 32 bits."""
    if bits == 32:
        return image
    dtype = np.dtype(f"uint{bits}")
    return np.rint(image.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)


def _write_tiff(path: Path, pixels: NDArray[np.generic]) -> Path:
    buffer = io.BytesIO()
    # Neither the library's name nor the date goes in, so the bytes stay the same from version to version.
    tifffile.imwrite(buffer, pixels, photometric="minisblack", compression=None, metadata=None, software=False)
    return write_atomically(path, buffer.getvalue())


def _write_png(path: Path, pixels: NDArray[np.generic], palette: bytes = b"") -> Path:
    picture, buffer = PillowImage.fromarray(pixels), io.BytesIO()
    if palette:
        picture.putpalette(palette)
    picture.save(buffer, "PNG")
    return write_atomically(path, buffer.getvalue())
