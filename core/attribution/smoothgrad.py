"""SmoothGrad: the gradient averaged over noisy copies of the image."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..compute.progress import Progress
from ..errors import UserError
from ..receptive_field.windows import Box, everything
from ..segmenter import Image, Segmenter
from ..target import Target
from .attribution import Attribution, make_attribution
from .registry import Method, register
from .settings import seed_setting, setting
from .windowed import Images, MapWindow, image_parts, target_gradient


def smoothgrad(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    n_samples: int = 16,
    noise: float = 0.1,
    seed: int = 0,
    internal_batch_size: int = 4,
    progress: Progress | None = None,
    *,
    window: bool = True,
) -> Attribution:
    """(1/n) Σ ∂target / ∂image at image + N(0, σ²), with σ = noise · (max image - min image).

    Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017 (there 10 to 20 % noise and 50 samples).

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained.
        n_samples: Number of noisy copies.
        noise: Standard deviation of the noise as a fraction of the image's range.
        seed: Seed of the noise, which is the same on every device.
        internal_batch_size: Copies that run through the network together; it does not change the result.
        progress: See `Progress`.
        window: As in `gradient`.

    Returns:
        Values (C, H, W) in score per unit of image intensity.

    Raises:
        UserError: Fewer than one sample, negative noise, or an image or target that does not fit the network.
    """
    if noise < 0:
        raise UserError(f"The noise is a fraction of the image's range and not negative; {noise} was given.")
    started = time.perf_counter()
    images, size = image_parts(segmenter, image)
    draws = noise_draws((segmenter.in_channels, *size), seed)
    sigma = noise * intensity_range(images, size)
    samples = Samples(images, sigma, n_samples, internal_batch_size)
    smoothed = smoothed_gradient(segmenter, samples, draws, size, target, progress, window=window)
    parameters = {"n_samples": n_samples, "noise": noise, "seed": seed}
    values = torch.from_numpy(smoothed.on(size))
    return make_attribution(values, segmenter, image, target, "smoothgrad", parameters, started)


class Samples(NamedTuple):
    """The noisy copies of an image.

    Attributes:
        images: The image.
        sigma: Standard deviation of the noise.
        number: Number of copies.
        at_once: Copies that run through the network together.
    """

    images: Images
    sigma: float
    number: int
    at_once: int


def smoothed_gradient(
    segmenter: Segmenter,
    samples: Samples,
    draws: Iterator[Tensor],
    size: tuple[int, int],
    target: Target,
    progress: Progress | None = None,
    *,
    window: bool = True,
) -> MapWindow:
    """The mean of ∂target / ∂image over noisy copies of an image of `size`, values (C, h, w); see `smoothgrad`.

    The draws are standard normal noise (C, H, W), one for each copy.
    """
    if samples.number < 1 or samples.at_once < 1:
        raise UserError("SmoothGrad needs at least one sample, in batches of at least one.")
    total: MapWindow | None = None
    for start in range(0, samples.number, samples.at_once):
        drawn = list(islice(draws, min(samples.at_once, samples.number - start)))

        def noisy(box: Box, drawn: list[Tensor] = drawn) -> Tensor:
            clean = samples.images(box)
            return clean + samples.sigma * torch.stack([draw[(..., *box)] for draw in drawn]).to(clean.device)

        found = target_gradient(segmenter, noisy, size, target, window=window)
        found = found._replace(values=found.values.astype(np.float64))
        if total is not None and found.box != total.box:  # windows were given up meanwhile
            found, total = MapWindow(found.on(size), 0, 0), MapWindow(total.on(size), 0, 0)
        total = found if total is None else total._replace(values=total.values + found.values)
        if progress is not None:
            progress(start + len(drawn), samples.number)
    assert total is not None  # noqa: S101 - there is at least one copy
    return total._replace(values=(total.values / samples.number).astype(np.float32))


def noise_draws(shape: tuple[int, int, int], seed: int) -> Iterator[Tensor]:
    """Standard normal noise (C, H, W), without end; the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(shape, generator=generator)


def intensity_range(images: Images, size: tuple[int, int]) -> float:
    """The largest intensity of an image minus the smallest."""
    whole = images(everything(size))
    return float(whole.max() - whole.min())


@register
class SmoothGrad(Method):
    """See `smoothgrad`."""

    name = "smoothgrad"
    title = "SmoothGrad"
    kind = "sensitivity"
    sentence = "The gradient averaged over noisy copies of the image: its size over the channels."

    @dataclass(frozen=True)
    class Settings:
        n_samples: int = setting(16, label="Samples of SmoothGrad", help="Number of noisy copies.", key="samples",
                                 low=1, high=500)  # fmt: skip
        noise: float = setting(0.1, label="Noise of SmoothGrad", low=0.0, high=1.0, step=0.05,
                               help="Standard deviation, as a fraction of the image's range.")  # fmt: skip
        seed: int = seed_setting()

    def run(
        self, segmenter: Segmenter, image: Image, target: Target, settings: Settings, progress: Progress | None
    ) -> Attribution:
        return smoothgrad(segmenter, image, target, **vars(settings), progress=progress)

    def passes(self, settings: Settings, segmenter: Segmenter, size: tuple[int, int]) -> int:
        return settings.n_samples
