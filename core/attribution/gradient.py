"""The gradient of a target with respect to the image, for a pixel one row of the Jacobian, and gradient × input."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..compute.memory import graph_bytes
from ..compute.progress import Progress
from ..segmenter import Image, Segmenter
from ..target import Target
from .attribution import Attribution, make_attribution
from .registry import Method, NoSettings, register
from .windowed import image_parts, target_gradient


def gradient(segmenter: Segmenter, image: Image, target: Target, *, window: bool = True) -> Attribution:
    """∂target / ∂image, the vanilla gradient.

    Simonyan et al., "Deep inside convolutional networks", 2014 (there its magnitude; here it stays signed).

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        window: Whether the network may run on the part of the image that the target's pixels need, where that is
            known (see `learn_field`); the values are the same.

    Returns:
        Values (C, H, W) in score per unit of image intensity.

    Raises:
        UserError: The image or the target does not fit the network.
    """
    started = time.perf_counter()
    images, size = image_parts(segmenter, image)
    values = torch.from_numpy(target_gradient(segmenter, images, size, target, window=window).on(size))
    return make_attribution(values, segmenter, image, target, "gradient", {}, started)


def gradient_x_input(segmenter: Segmenter, image: Image, target: Target) -> Attribution:
    """Intensity ⊙ ∂target / ∂image: what each intensity contributes, to first order, against black.

    Shrikumar et al., "Not just a black box: learning important features through propagating activation differences",
    2016. For a network that is linear in the image it is exact; a black pixel never contributes. Arguments as in
    `gradient`; values (C, H, W) in units of the score.
    """
    sensitivity = gradient(segmenter, image, target)
    intensities = segmenter.as_batch(image, single=True)[0].detach().cpu().numpy()
    values = sensitivity.values * intensities
    return replace(sensitivity, values=values, method="gradient_x_input", unit=target.score_unit)


@dataclass(frozen=True)
class GradientCost:
    """Cost of one gradient: seconds of wall time, and memory that the network keeps for its backward pass."""

    seconds: float
    memory_bytes: int


def gradient_cost(segmenter: Segmenter, image: np.ndarray) -> GradientCost:
    """The cost for an image (C, H, W), by the number of pixels, from that of a crop of at most 256×256 pixels."""
    crop = np.ascontiguousarray(image[:, :256, :256])
    scale = image[0].size / crop[0].size
    target = Target.pixel(0, 0, 0, "logit")
    gradient(segmenter, crop, target, window=False)  # the first run of a size is slower
    seconds = gradient(segmenter, crop, target, window=False).seconds
    return GradientCost(scale * seconds, int(scale * graph_bytes(segmenter, crop)))


@register
class Gradient(Method):
    """See `gradient`."""

    name = "gradient"
    title = "Gradient"
    kind = "sensitivity"
    sentence = "How much the score moves with each pixel's intensity: the size over the channels."

    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: NoSettings, progress: Progress | None
    ) -> Attribution:
        return gradient(segmenter, image, target)


@register
class GradientTimesInput(Method):
    """See `gradient_x_input`."""

    name = "gradient_x_input"
    title = "Gradient × input"
    kind = "contribution"
    sentence = (
        "The gradient times the intensity: a first guess of each pixel's share of the score. Black pixels have none."
    )

    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: NoSettings, progress: Progress | None
    ) -> Attribution:
        return gradient_x_input(segmenter, image, target)
