"""Images and masks as the bytes of files that `load_image` and `read_mask` read back the same."""

import io

import numpy as np
import tifffile
from PIL import Image as PillowImage


def tiff_bytes(image: np.ndarray) -> bytes:
    """An image (C, H, W) of float32 as a TIFF file: grey, colour, or one page for each channel."""
    file = io.BytesIO()
    if image.shape[0] == 3:
        tifffile.imwrite(file, np.ascontiguousarray(image.transpose(1, 2, 0)), photometric="rgb", compression="zlib")
    else:
        pages = image[0] if image.shape[0] == 1 else image
        tifffile.imwrite(file, pages, photometric="minisblack", compression="zlib")
    return file.getvalue()


def mask_bytes(mask: np.ndarray) -> bytes:
    """A mask of class indices (H, W), 0 to 65535, as a PNG file."""
    file = io.BytesIO()
    PillowImage.fromarray(mask.astype(np.uint8 if mask.max() < 256 else np.uint16)).save(file, "PNG")
    return file.getvalue()
