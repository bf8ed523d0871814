"""Cost of explaining one pixel of a large image, estimated before it starts."""

from dataclasses import dataclass

import numpy as np

from ..compute.memory import graph_bytes
from ..segmenter import Segmenter
from ..target import Target
from .gradient import gradient

_SIDE = 256


@dataclass(frozen=True)
class GradientCost:
    """Cost of one gradient.

    Attributes:
        seconds: Wall time.
        memory_bytes: Memory that the network keeps for its backward pass.
    """

    seconds: float
    memory_bytes: int


def gradient_cost(segmenter: Segmenter, image: np.ndarray) -> GradientCost:
    """The cost estimated from that on a crop of at most 256×256 pixels, in proportion to the number of pixels.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
    """
    crop = np.ascontiguousarray(image[:, :_SIDE, :_SIDE])
    scale = image[0].size / crop[0].size
    target = Target.pixel(0, 0, 0, "logit")
    gradient(segmenter, crop, target)  # the first run of a size is slower
    seconds = gradient(segmenter, crop, target).seconds
    return GradientCost(scale * seconds, int(scale * graph_bytes(segmenter, crop)))
