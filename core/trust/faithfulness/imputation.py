"""ROAD: removal by noisy linear imputation, which hides where pixels are missing."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError
from .curves import Curve, removal_steps
from .perturbed import PerturbedRuns

ROAD_FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
DEFAULT_NOISE = 0.01
_PRECISION = 1e-3
"""Relative residual: a mean error of about 0.0004 in scattered holes and up to 0.008 in large blocks, whose middle is
guesswork anyway; the noise that is added has 0.01."""
_MOST_ITERATIONS = 500
_SMALLEST_SIDE = 4
_LEVELS = 2**15 - 1


def road(
    runs: PerturbedRuns,
    importance: np.ndarray,
    fractions: tuple[float, ...] = ROAD_FRACTIONS,
    noise: float = DEFAULT_NOISE,
) -> Curve:
    """The score as the most important pixels are imputed from what is left, most relevant first.

    Rong et al., "A consistent and efficient evaluation strategy for attribution methods", 2022. With a fixed fill, the
    shape of the hole itself tells the network something; here every missing pixel becomes the weighted mean of its
    neighbours, plus noise. A lower area is better. Of the fractions, the area goes from 0 to the largest.

    Args:
        runs: The target; its fill is not used.
        importance: (H, W), higher goes first.
        fractions: Of the pixels that may go; rising, above 0, below 1: something must be left.
        noise: Standard deviation, in units of intensity.

    Returns:
        All NaN where the image has so few pixels that a fraction takes all.

    Raises:
        UserError: Fractions that do not rise from 0 to 1, or a map that does not fit.
    """
    if not fractions or list(fractions) != sorted(set(fractions)) or not 0 < fractions[0] <= fractions[-1] < 1:
        raise UserError("ROAD needs fractions that rise between 0 and 1, both left out.")
    count = int(runs.eligible.sum())
    rank_of, _ = removal_steps(importance, runs.eligible, min(count, _LEVELS), runs.settings.seed)
    last = int(rank_of.max()) + 1
    missing = np.stack([(rank_of >= 0) & (rank_of < max(1, round(fraction * last))) for fraction in fractions])
    if missing.all(axis=(1, 2)).any():
        return Curve(np.array([0.0, 1.0]), np.full(2, np.nan), np.full(2, np.nan))
    draws = _draws(runs.image, len(missing), runs.settings.seed)

    def images(start: int, stop: int) -> Tensor:
        hidden = torch.from_numpy(missing[start:stop]).to(runs.image.device)
        return _imputed(runs.image, hidden, noise * torch.from_numpy(draws[start:stop]).to(hidden.device))

    scores = runs.run(images, len(missing))
    whole = {name: ends[:1] for name, ends in runs.ends.items()}
    return Curve(
        np.concatenate(([0.0], missing.sum(axis=(1, 2)) / count)),
        np.concatenate((whole["score"], scores["score"])),
        np.concatenate((whole["leakage"], scores["leakage"])),
    )


@torch.no_grad()
def imputed(image: Tensor, missing: Tensor, noise: float = DEFAULT_NOISE, seed: int = 0) -> Tensor:
    """Copies of an image with their missing pixels made up from the others.

    Every missing pixel is the mean of its neighbours, with weights 1/6 for those beside, above and below and 1/12 for
    those over a corner, divided by their sum at the image's edge: a sparse linear system. Then normal noise is added to
    the missing pixels.

    Args:
        image: Float32 (C, H, W).
        missing: Bool (B, H, W), on the same device; at least one pixel of each copy is known.
        noise: Standard deviation, in units of intensity.
        seed: Of the noise, which is the same on every device.

    Returns:
        Float32 (B, C, H, W), equal to the image where nothing is missing.

    Raises:
        UserError: Nothing is known.
    """
    if bool(missing.flatten(1).all(dim=1).any()):
        raise UserError("Every pixel is missing, so there is nothing to impute them from.")
    return _imputed(image, missing, noise * torch.from_numpy(_draws(image, len(missing), seed)).to(image.device))


def _draws(image: Tensor, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, *image.shape), dtype=np.float32)


def _imputed(image: Tensor, missing: Tensor, noise: Tensor) -> Tensor:
    hidden = missing[:, None]
    solved = _solved(image.expand(len(missing), -1, -1, -1) * ~hidden, hidden.to(image.dtype))
    return torch.where(hidden, solved + noise, image)


def _solved(images: Tensor, hidden: Tensor) -> Tensor:
    """Images (B, C, H, W), 0 where they are hidden, with the system's solution there; `hidden` is 0 or 1, (B, 1, H, W).

    Conjugate gradients smooth out small errors fast and large ones slowly, so they begin from the solution at half the
    size (Bornemann & Deuflhard, "The cascadic multigrid method for elliptic problems", 1996).
    """
    height, width = images.shape[2:]
    if min(height, width) > _SMALLEST_SIDE and bool(hidden.any()):
        padding = (0, width % 2, 0, height % 2)
        known = 4 * F.avg_pool2d(F.pad(1 - hidden, padding), 2)
        means = 4 * F.avg_pool2d(F.pad(images, padding), 2) / known.clamp(min=1)
        coarse = _solved(means, (known == 0).to(images.dtype))
        start = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
    else:
        start = images.sum(dim=(2, 3), keepdim=True) / (1 - hidden).sum(dim=(2, 3), keepdim=True)
    return images + _conjugate_gradients(images, hidden, start * hidden)


def _conjugate_gradients(images: Tensor, hidden: Tensor, start: Tensor) -> Tensor:
    """The values of the hidden pixels, 0 elsewhere, from those of a start."""
    degree = _neighbours(torch.ones_like(images[:1, :1]))
    right = hidden * _neighbours(images)
    values = start
    residual = right - hidden * (degree * values - _neighbours(values))
    allowed = (_PRECISION * right.flatten(2).norm(dim=2)).square()
    scaled = residual / degree
    direction, product = scaled, (residual * scaled).sum(dim=(2, 3))
    for _ in range(_MOST_ITERATIONS):
        open_ = residual.square().sum(dim=(2, 3)) > allowed
        if not bool(open_.any()):
            break
        image_of = hidden * (degree * direction - _neighbours(direction))
        length = torch.where(open_, product / (direction * image_of).sum(dim=(2, 3)), 0.0)[..., None, None]
        values = torch.addcmul(values, length, direction)
        residual = torch.addcmul(residual, length, image_of, value=-1)
        scaled = residual / degree
        product, before = (residual * scaled).sum(dim=(2, 3)), product
        direction = scaled + torch.where(open_, product / before, 0.0)[..., None, None] * direction
    return values


def _neighbours(values: Tensor) -> Tensor:
    """Of each pixel, its neighbours' values by their weights; a convolution of one channel, but three times as fast.

    The weights are [1 2 1] down times [1 2 1] across, without the middle, all divided by 12.
    """
    padded = F.pad(values, (1, 1, 1, 1))
    down = (padded[..., :-2, :] + padded[..., 2:, :]).add_(padded[..., 1:-1, :], alpha=2)
    across = (down[..., :-2] + down[..., 2:]).add_(down[..., 1:-1], alpha=2)
    return across.sub_(values, alpha=4).div_(12)
