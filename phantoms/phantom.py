"""What every phantom generator returns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Phantom:
    """A synthetic image together with the truth it was drawn from.

    Attributes:
        image: Intensities in [0, 1], float32 of shape (C, H, W).
        mask: Class index of each pixel, uint8 of shape (H, W).
        skeleton: Centre lines of the foreground, one pixel thin, bool of shape (H, W).
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    skeleton: NDArray[np.bool_]
