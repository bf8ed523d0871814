"""SmoothGrad: the gradient averaged over noisy copies of the image."""

import time
from dataclasses import dataclass

import torch

from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Target
from .attribution import Attribution, make_attribution
from .gradient import input_gradient
from .registry import Method, register
from .settings import seed_setting, setting


def smoothgrad(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    n_samples: int = 16,
    noise: float = 0.1,
    seed: int = 0,
    internal_batch_size: int = 4,
    progress: Progress | None = None,
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

    Returns:
        Values (C, H, W) in score per unit of image intensity.

    Raises:
        UserError: Fewer than one sample, negative noise, or an image or target that does not fit the network.
    """
    if n_samples < 1 or internal_batch_size < 1:
        raise UserError("SmoothGrad needs at least one sample, in batches of at least one.")
    if noise < 0:
        raise UserError(f"The noise is a fraction of the image's range and not negative; {noise} was given.")
    started = time.perf_counter()
    batch = segmenter.as_batch(image, single=True).detach()
    sigma = noise * float(batch.max() - batch.min())
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(batch[0], dtype=torch.float64)
    for start in range(0, n_samples, internal_batch_size):
        size = min(internal_batch_size, n_samples - start)
        draws = torch.stack([torch.randn(batch.shape[1:], generator=generator) for _ in range(size)])
        noisy = (batch + sigma * draws.to(batch.device)).requires_grad_()
        total += input_gradient(target(segmenter.logits(noisy)).sum(), noisy).sum(dim=0)
        if progress is not None:
            progress(start + size, n_samples)
    values = (total / n_samples).float()
    parameters = {"n_samples": n_samples, "noise": noise, "seed": seed}
    return make_attribution(values, segmenter, image, target, "smoothgrad", parameters, started)


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
