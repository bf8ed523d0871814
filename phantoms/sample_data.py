"""The small example images that come with the project, made anew from fixed seeds."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from core.io.files import write_atomically

from . import Phantom, fundus_phantom, scene_phantom, vessel_phantom

VESSEL_IMAGES = 16
FUNDUS_IMAGES = 8
SCENE_IMAGES = 8
SCENE_COLOURS = np.array(
    [
        [110, 100, 130],
        [210, 160, 200],
        [150, 110, 90],
        [90, 150, 60],
        [120, 180, 230],
        [40, 60, 160],
        [210, 50, 60],
        [240, 200, 60],
    ],
    dtype=np.uint8,
)
"""In which a viewer shows the classes of a scene's mask."""

_README = """\
Synthetic vessel images (no microscope saw them) with their exact masks and skeletons, in VessMAP's folder layout.
`vessels/`: 16 grey 8-bit images; `formats/`: a 16-bit, a non-square and an RGB one.
`fundus/test/`: 8 synthetic RGB retinas with masks of their vessels.
`scenes/test/`: 8 synthetic streets with masks of the classes road, sidewalk, building, vegetation, sky, car, person
and pole (indices 0 to 7).
Make them again, byte for byte, with `python -m core samples`.
"""


def write_samples(folder: Path) -> list[Path]:
    """Write the example images with their masks and skeletons; each call writes the same bytes.

    `folder/vessels` and `folder/formats` both hold `images/<stem>.tiff` (`.png` for RGB), `labels/<stem>.png` and
    `skeletons/<stem>.png`, the masks with the values 0 and 255. `folder/fundus/test` and `folder/scenes/test` hold
    `images/<stem>.png` and `masks/<stem>.png`, the latter black and white for the retinas' vessels and class indices
    with a palette for the streets. A file that is already there is replaced as a whole.

    Args:
        folder: Where to write; made if missing.

    Returns:
        The files written, in the order written.
    """
    written = [write_atomically(folder / "README.md", _README.encode())]
    for seed in range(VESSEL_IMAGES):
        written += _write_grey(folder / "vessels", f"phantom_{seed:02d}", vessel_phantom(seed), np.uint8)
    formats = folder / "formats"
    written += _write_grey(formats, "sixteen_bit", vessel_phantom(104), np.uint16)
    written += _write_grey(formats, "not_square", vessel_phantom(101, (200, 312)), np.uint8)
    written += _write_colour(formats, "colour", vessel_phantom(109, channels=3))
    for seed in range(FUNDUS_IMAGES):
        retina, test = fundus_phantom(seed), folder / "fundus" / "test"
        written += _write_labelled(test, f"fundus_{seed:02d}", retina.image, retina.mask > 0)
    for seed in range(SCENE_IMAGES):
        street, test = scene_phantom(seed), folder / "scenes" / "test"
        written += _write_labelled(test, f"scene_{seed:02d}", street.image, street.mask, SCENE_COLOURS)
    return written


def _write_labelled(
    folder: Path,
    stem: str,
    image: NDArray[np.float32],
    mask: NDArray[np.bool_ | np.uint8],
    palette: NDArray[np.uint8] | None = None,
) -> list[Path]:
    """RGB image and mask as PNGs."""
    pixels = _quantise(image.transpose(1, 2, 0), np.uint8)
    return [
        _write_png(folder / "images" / f"{stem}.png", pixels),
        _write_png(folder / "masks" / f"{stem}.png", mask, palette),
    ]


def _write_grey(folder: Path, stem: str, phantom: Phantom, dtype: type[np.uint8 | np.uint16]) -> list[Path]:
    """One-channel image as a plain TIFF of the given integer type."""
    pixels = _quantise(phantom.image[0], dtype)

    buffer = io.BytesIO()
    # Neither the library's name nor the date goes in, so the bytes stay the same from version to version.
    tifffile.imwrite(buffer, pixels, photometric="minisblack", compression=None, metadata=None, software=False)
    written = write_atomically(folder / "images" / f"{stem}.tiff", buffer.getvalue())
    return [written, *_write_truth(folder, stem, phantom)]


def _write_colour(folder: Path, stem: str, phantom: Phantom) -> list[Path]:
    """Three-channel image as a PNG; the vessels are the green channel."""
    pixels = _quantise(phantom.image[[1, 0, 2]].transpose(1, 2, 0), np.uint8)
    return [_write_png(folder / "images" / f"{stem}.png", pixels), *_write_truth(folder, stem, phantom)]


def _write_truth(folder: Path, stem: str, phantom: Phantom) -> list[Path]:
    """Mask and skeleton as black and white PNGs of one bit a pixel."""
    return [
        _write_png(folder / "labels" / f"{stem}.png", phantom.mask > 0),
        _write_png(folder / "skeletons" / f"{stem}.png", phantom.skeleton),
    ]


def _quantise(image: NDArray[np.float32], dtype: type[np.uint8 | np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    """Intensities in [0, 1] as whole numbers over the type's full range."""
    return np.rint(image.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)


def _write_png(
    path: Path, pixels: NDArray[np.bool_ | np.uint8 | np.uint16], palette: NDArray[np.uint8] | None = None
) -> Path:
    return write_atomically(path, _encode_png(pixels, palette))


def _encode_png(pixels: NDArray[np.bool_ | np.uint8 | np.uint16], palette: NDArray[np.uint8] | None = None) -> bytes:
    """A PNG file whose pixels are stored uncompressed.

    Bool (H, W) becomes one bit a pixel, uint8 (H, W, 3) RGB, and uint8 (H, W) indices of the palette's colours (N, 3).

    How well a picture is compressed differs between zlib's versions and forks, and the bytes with it; stored ones are
    the same everywhere. PNG Specification, third edition (W3C 2023); stored blocks: RFC 1951, section 3.2.4.
    """
    height, width = pixels.shape[:2]
    depth, colour = (1, 0) if pixels.dtype == bool else (8, 2 if palette is None else 3)
    lines = np.packbits(pixels, axis=1) if depth == 1 else pixels.reshape(height, -1)
    filtered = np.pad(lines, ((0, 0), (1, 0))).astype(np.uint8).tobytes()  # a leading 0: the line is not filtered
    blocks = [filtered[start : start + 0xFFFF] for start in range(0, len(filtered), 0xFFFF)]
    stream = b"".join(
        struct.pack("<BHH", number == len(blocks) - 1, len(block), 0xFFFF - len(block)) + block
        for number, block in enumerate(blocks)
    )
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        *(() if palette is None else ((b"PLTE", palette.tobytes()),)),
        (b"IDAT", b"\x78\x01" + stream + struct.pack(">I", zlib.adler32(filtered))),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
