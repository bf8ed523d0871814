"""What a brush puts in place of pixels, and how strongly at each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, uniform_filter

from ..drawn_regions import squared_distances
from ..errors import UserError
from ..receptive_field.windows import Box, shifted
from ..trust.imputation import imputed

BrushKind = Literal["paint", "blur", "mean", "noise", "clone", "inpaint", "erase"]
KINDS = {
    "paint": "Intensity",
    "blur": "Blur",
    "mean": "Local mean",
    "noise": "Noise",
    "clone": "Clone",
    "inpaint": "In-paint",
    "erase": "Erase",
}
"""What each kind is called on screen."""
LARGEST_RADIUS = 512
LARGEST_SIGMA = 100.0
_TILE = 64
"""Side of the squares that noise is drawn in, each from its own seed, so that it does not hang on the stroke's way."""
_REACH = 4.0
"""Sigmas after which a Gaussian is cut off."""
_MARGIN = 16
"""Pixels around a hole that it is filled from."""


@dataclass(frozen=True)
class Brush:
    """A brush.

    Attributes:
        kind: What it does: paints an intensity, blurs, takes the mean of the pixel's surroundings of the brush's size,
            adds noise, copies from elsewhere, fills in from around, or brings the original back.
        radius: Its radius, in pixels.
        softness: Share of the radius over which it fades out, in [0, 1].
        intensity: What "paint" paints, one value per channel or one for all, in [0, 1].
        sigma: Of the blur, in pixels.
        amount: Standard deviation of the noise, in units of intensity.
        offset: (rows, columns) from a pixel to the one that "clone" copies.
        seed: Of the noise.

    Raises:
        UserError: A value outside of its range.
    """

    kind: BrushKind = "paint"
    radius: float = 8.0
    softness: float = 0.0
    intensity: tuple[float, ...] = (0.0,)
    sigma: float = 4.0
    amount: float = 0.1
    offset: tuple[int, int] = (0, 0)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f'A brush is one of {", ".join(KINDS)}; "{self.kind}" was given.')
        if not 0 <= self.radius <= LARGEST_RADIUS:
            raise UserError(f"The brush has a radius from 0 to {LARGEST_RADIUS} pixels; {self.radius:g} was given.")
        if not 0 <= self.softness <= 1:
            raise UserError(f"The softness of a brush lies from 0 to 1; {self.softness:g} was given.")
        if not self.intensity or not all(0 <= value <= 1 for value in self.intensity):
            raise UserError("A brush paints intensities from 0 to 1.")
        if not 0 < self.sigma <= LARGEST_SIGMA or not 0 <= self.amount <= 1:
            raise UserError(
                f"The blur of a brush has a sigma above 0 and up to {LARGEST_SIGMA:g} pixels, its noise a standard "
                "deviation from 0 to 1."
            )

    def strengths(self, start: np.ndarray, end: np.ndarray, box: Box) -> np.ndarray:
        """How strongly it acts on each pixel of a box while it moves from one point to another, float32 (h, w)."""
        distance = np.sqrt(squared_distances(start, end, box))
        if not self.softness:
            return (distance <= self.radius + 1e-9).astype(np.float32)
        inner = self.radius * (1 - self.softness)
        share = np.clip((distance - inner) / max(self.radius - inner, 1e-9), 0, 1)
        return (0.5 + 0.5 * np.cos(np.pi * share)).astype(np.float32)

    def fill(self, image: np.ndarray, original: np.ndarray, strength: np.ndarray, box: Box) -> np.ndarray:
        """What the pixels of a box become where the brush acts in full.

        Args:
            image: Float32 (C, H, W), the image before the stroke.
            original: Float32 (C, H, W), the image before any stroke.
            strength: Float32 (H, W), where the whole stroke acts.
            box: Rows and columns of the pixels that are asked for.

        Returns:
            Float32 (C, h, w), in [0, 1] where the image is.
        """
        if self.kind == "erase":
            return original[(..., *box)]
        if self.kind == "paint":
            values = np.asarray(self.intensity, np.float32)
            height, width = (part.stop - part.start for part in box)
            return np.broadcast_to(values[:, None, None], (len(image), height, width)).copy()
        if self.kind == "noise":
            noisy = image[(..., *box)] + np.float32(self.amount) * _noise(len(image), box, self.seed)
            return np.clip(noisy, 0, 1)
        if self.kind == "clone":
            rows, columns = (
                np.clip(np.arange(part.start, part.stop) + shift, 0, length - 1)
                for part, shift, length in zip(box, self.offset, image.shape[1:], strict=True)
            )
            return image[:, rows[:, None], columns]
        if self.kind == "inpaint":
            return filled_in(image, strength > 0, box)
        return self._smoothed(image, box)

    def describe(self) -> str:
        """What it did, in a few words."""
        more = {
            "paint": f" {', '.join(f'{value:g}' for value in self.intensity)}",
            "blur": f" of sigma {self.sigma:g} px",
            "noise": f" of standard deviation {self.amount:g}",
            "clone": f" from {self.offset[0]:+d} rows, {self.offset[1]:+d} columns",
        }.get(self.kind, "")
        soft = f", {self.softness:.0%} soft" if self.softness else ""
        return f"{KINDS[self.kind]}{more}, radius {self.radius:g} px{soft}"

    def _smoothed(self, image: np.ndarray, box: Box) -> np.ndarray:
        reach = int(_REACH * self.sigma + 1) if self.kind == "blur" else int(self.radius + 1)
        area = widened(box, reach, image.shape[1:])
        values = image[(..., *area)]
        if self.kind == "blur":
            smooth = gaussian_filter(values, (0, self.sigma, self.sigma), truncate=_REACH)
        else:
            side = 2 * int(self.radius) + 1
            smooth = uniform_filter(values, (0, side, side), mode="nearest")
        return np.clip(smooth, 0, 1)[(..., *_inside(box, area))]


def filled_in(image: np.ndarray, hole: np.ndarray, box: Box) -> np.ndarray:
    """The pixels of a box, float32 (C, h, w), those in a hole, bool (H, W), made up smoothly from around it.

    The box holds the whole hole.

    Every pixel of the hole is the mean of its neighbours (see `core.trust.imputation`). Far pixels do not count: the
    hole is filled from a margin around it.
    """
    rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    if not len(rows) or hole.all():
        return image[(..., *box)].copy()
    bounds = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    area = widened(bounds, _MARGIN, hole.shape)
    values = torch.from_numpy(np.ascontiguousarray(image[(..., *area)]))
    missing = torch.from_numpy(np.ascontiguousarray(hole[area]))[None]
    if bool(missing.all()):  # a margin that the image's border cuts off
        return image[(..., *box)].copy()
    made_up = imputed(values, missing, torch.zeros(1))[0].numpy()
    result = image[(..., *box)].copy()
    result[(..., *_inside(bounds, box))] = made_up[(..., *_inside(bounds, area))]
    return result


def widened(box: Box, by: int, size: Sequence[int]) -> Box:
    """A box with some pixels more on every side, cut at the border of an image of `size` (height, width)."""
    rows, columns = (
        slice(max(part.start - by, 0), min(part.stop + by, length)) for part, length in zip(box, size, strict=True)
    )
    return rows, columns


def _inside(box: Box, area: Box) -> Box:
    """A box as rows and columns of an area that holds it."""
    return shifted(box[0], -area[0].start), shifted(box[1], -area[1].start)


def _noise(channels: int, box: Box, seed: int) -> np.ndarray:
    """Standard normal noise (C, h, w), the same at a pixel for every box that holds it."""
    tiles = [range(part.start // _TILE, -(-part.stop // _TILE)) for part in box]
    rows = [
        np.concatenate(
            [np.random.default_rng((seed, row, column)).standard_normal((channels, _TILE, _TILE), np.float32)
             for column in tiles[1]],
            axis=2,
        )
        for row in tiles[0]
    ]  # fmt: skip
    whole = np.concatenate(rows, axis=1)
    top, left = tiles[0].start * _TILE, tiles[1].start * _TILE
    return whole[:, box[0].start - top : box[0].stop - top, box[1].start - left : box[1].stop - left]
