"""Images as the tensor that a network takes, checked, with one sentence for each mistake."""

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError

Image = np.ndarray | Tensor
"""An image: float32 (C, H, W), values in [0, 1], NumPy or torch."""

_LARGEST_INTENSITY = 32.0
"""Larger intensities are taken for those of an 8-bit or 16-bit image that was not scaled, and so are whole numbers."""
_FEWEST_PIXELS, _FEWEST_LEVELS = 64, 10
"""Pixels, and different values, of an image whose whole numbers are no coincidence."""


def image_tensor(image: Image) -> Tensor:
    """An image as a tensor; NumPy arrays may be views with steps of any sign and of any byte order."""
    if isinstance(image, np.ndarray) and image.dtype.kind in "fiub":
        wide = image.dtype.kind == "f" and image.dtype.itemsize > 8  # a long double, which torch does not have
        image = np.ascontiguousarray(image, np.float64 if wide else image.dtype.newbyteorder("="))
    return torch.as_tensor(image)


def checked_batch(images: Image, in_channels: int, name: str, *, any_intensity: bool, single: bool) -> Tensor:
    """Images as a tensor (B, C, H, W) on their own device and of their own float type.

    Arguments and errors as in `Segmenter.as_batch`; `name` is that of the network, for messages.
    """
    try:
        tensor = image_tensor(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"An image is an array or a tensor (channels, height, width); this is a {type(images).__name__} that "
            "cannot be read as one."
        ) from error
    if not tensor.is_floating_point():
        raise UserError(
            f"The image holds {str(tensor.dtype).removeprefix('torch.')} values; scale it to [0, 1] first, "
            "as read_image does."
        )
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 4 or 0 in tensor.shape:
        raise UserError(f"An image has the shape (channels, height, width); this one is {tuple(tensor.shape)}.")
    if single and tensor.shape[0] != 1:
        raise UserError(f"One image is explained at a time; {tensor.shape[0]} were given.")
    if tensor.shape[1] != in_channels:
        raise UserError(
            f"The network {name} takes {counted(in_channels, 'channel')}, the image has "
            f"{tensor.shape[1]}; convert the image or choose another network."
        )
    if not bool(torch.isfinite(tensor).all()):
        raise UserError("The image has values that are not finite (NaN or infinite); replace them first.")
    if not any_intensity and (largest := _unscaled(tensor.detach())) is not None:
        raise UserError(
            f"The image holds intensities up to {largest:g}, and they belong in [0, 1]; divide it by the largest "
            "value of its type (255, 65535), or give the segmenter any_intensity=True."
        )
    return tensor


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 channel", "3 channels"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _unscaled(images: Tensor) -> float | None:
    """The largest intensity of images that seem to be those of a file whose values were not scaled to [0, 1]."""
    largest = float(images.abs().max())
    if largest <= 1:
        return None
    counts = images[0, 0].numel() >= _FEWEST_PIXELS and bool((images == images.round()).all())
    counts = counts and images.unique().numel() >= _FEWEST_LEVELS
    return largest if counts or largest > _LARGEST_INTENSITY else None
