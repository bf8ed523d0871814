"""Changing the number of channels of an image, always on request."""

import numpy as np

from ..errors import UserError

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


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
