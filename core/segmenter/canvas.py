"""The padded area that a network is run on where it does not take the image's own size."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

_PADDING_MULTIPLES = (2, 4, 8, 10, 14, 16, 20, 28, 32, 40, 48, 64, 80, 96, 128)


@dataclass(frozen=True)
class Canvas:
    """Height and width of the area that the network is run on, and the position of the image on it."""

    height: int
    width: int
    top: int = 0
    left: int = 0

    def extend(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) on the canvas, their border repeated."""
        height, width = images.shape[-2:]
        if (height, width) == (self.height, self.width):
            return images
        after = self.width - width - self.left, self.height - height - self.top
        return F.pad(images, (self.left, after[0], self.top, after[1]), mode="replicate")


def canvases_to_try(height: int, width: int, border: tuple[int, int], multiple: int | None) -> list[Canvas]:
    """Canvases for an image and a border, smallest first; sides are multiples of `multiple`, else of usual numbers."""
    multiples = (1, *_PADDING_MULTIPLES) if multiple is None else (multiple,)
    rows, columns = height + border[0], width + border[1]
    return list(dict.fromkeys(Canvas(*rounded_up((rows, columns), each)) for each in multiples))


def rounded_up(size: tuple[int, int], multiple: int | None) -> tuple[int, int]:
    """The smallest multiples that are at least the height and the width; the size itself without a multiple."""
    multiple = multiple or 1
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple
