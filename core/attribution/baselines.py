"""Baselines: the images without information that path methods start from."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..errors import UserError
from ..segmenter import Image
from .attribution import image_hash
from .settings import setting

BaselineKind = Literal["zero", "random", "blur", "mean", "image"]
TITLES: dict[str, str] = {
    "zero": "Black",
    "mean": "The image's mean",
    "blur": "The image, blurred",
    "random": "Noise",
}
"""The kinds that need no image of their own, on screen."""
DEFAULT_SIGMA = 10.0
DEFAULT_DRAWS = 4


@dataclass(frozen=True, eq=False)
class Baseline:
    """One or several images without information, in the space of the image itself: [0, 1] before normalisation.

    Attributes:
        kind: zero, random, blur, mean or image.
        images: Float32 (N, C, H, W); N is 1 but for random, whose attributions are averaged over N draws.
        parameters: What it was made with, plain values.
    """

    kind: BaselineKind
    images: np.ndarray
    parameters: dict[str, Any]

    def describe(self, name: str) -> dict[str, Any]:
        """What it was made with, as parameters of an attribution to which it is the `name`."""
        own = {f"{name}_sha256": image_hash(self.images[0])} if self.kind == "image" else {}
        return {name: self.kind, **self.parameters, **own}


def make_baseline(
    image: Image, kind: BaselineKind | Image, *, sigma: float = DEFAULT_SIGMA, draws: int = DEFAULT_DRAWS, seed: int = 0
) -> Baseline:
    """The baseline for an image.

    Which baseline is right depends on the question (Sturmfels, Lundberg & Lee, "Visualizing the impact of feature
    attribution baselines", 2020): against black, dark pixels can never be important; against a blurred copy, what
    the blur keeps cannot.

    Args:
        image: (C, H, W) in [0, 1].
        kind: "zero" (black), "random" (uniform noise in [0, 1]), "blur" (Gaussian, the border repeated), "mean" (the
            image's own mean of each channel), or an image (C, H, W) in [0, 1] of the same size.
        sigma: Sigma of the blur's Gaussian, in pixels.
        draws: Number of random images.
        seed: Seed of the random images.

    Raises:
        UserError: An unknown kind, an image of another size or with values that are not finite, a sigma or a number
            of draws that is not positive.
    """
    array = _as_array(image)
    if not isinstance(kind, str):
        own = _as_array(kind)
        if own.shape != array.shape:
            given, size = ("×".join(map(str, each.shape)) for each in (own, array))
            raise UserError(
                f"The baseline is {given} (channels, rows, columns), the image {size}; they must be of one size."
            )
        if not np.isfinite(own).all():
            raise UserError("The baseline has values that are not finite (NaN or infinite); replace them first.")
        return Baseline("image", own[None], {})
    if kind == "zero":
        return Baseline(kind, np.zeros_like(array)[None], {})
    if kind == "random":
        if draws < 1:
            raise UserError(f"A random baseline needs at least one draw; {draws} were given.")
        images = np.random.default_rng(seed).random((draws, *array.shape), dtype=np.float32)
        return Baseline(kind, images, {"draws": draws, "seed": seed})
    if kind == "blur":
        if not 0 < sigma < np.inf:
            raise UserError(f"The blur's sigma is a positive number of pixels; {sigma} was given.")
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - a gradient needs no scipy

        blurred = gaussian_filter(array, (0, sigma, sigma), mode="nearest")
        return Baseline(kind, blurred[None], {"sigma": sigma})
    if kind == "mean":
        means = array.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
        return Baseline(kind, np.broadcast_to(means, array.shape).copy()[None], {})
    raise UserError(f'The baseline is one of {", ".join(TITLES)}, or an image; "{kind}" was given.')


def sigma_setting() -> Any:
    """The sigma of a blurred baseline or fill, which Integrated Gradients and occlusion share."""
    return setting(DEFAULT_SIGMA, label="Sigma of the blur", help="Sigma of a blurred baseline or fill, in pixels.",
                   low=0.0, on_page=False)  # fmt: skip


def _as_array(image: Image) -> np.ndarray:
    array = np.asarray(image.detach().cpu() if isinstance(image, torch.Tensor) else image, dtype=np.float32)
    return array[0] if array.ndim == 4 and len(array) == 1 else array
