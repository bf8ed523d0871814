"""The smallest natural change that flips a label.

That is the smallest disc, rectangle or set of superpixels that takes the label away when it is filled from around it or
blurred.
"""

from collections.abc import Callable, Iterator
from typing import Literal, get_args

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, uniform_filter

from ...attribution.baselines import DEFAULT_SIGMA
from ...errors import UserError
from ...receptive_field.windows import everything
from ..brush import filled_in
from .slope import Slope

Fill = Literal["inpaint", "blur", "mean"]
FILLS: dict[Fill, str] = {"inpaint": "In-painted", "blur": "Blurred", "mean": "Local mean"}
"""What a natural change does to its pixels, as on screen."""
Shape = Literal["superpixels", "disc", "rectangle"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
"""In the order in which they are tried: what is larger than the smallest so far is not."""
_MEAN_SIDE = 33
_CENTRES = 9
_CENTRE_SPREAD = 4.0
"""Sigma in pixels over which the gradient is gathered before its peaks become centres."""
_GROWTH = 1.4
_ASPECTS = (0.25, 0.5, 1.0, 2.0, 4.0)
_SUPERPIXEL_SIDE = 9
_MOST_ADDED = 40


def natural_flip(
    slope: Slope,
    centre: tuple[int, int],
    fill: Fill = "inpaint",
    shapes: tuple[Shape, ...] = SHAPES,
    *,
    eight_bit: bool = False,
) -> torch.Tensor | None:
    """The part of an image (1, C, h, w) with the smallest natural change found that flips; None where none was found.

    Discs and rectangles grow around the pixel itself and around the peaks of the gradient's magnitude until they flip,
    and are halved down to a size that just does; a smaller one that flips, too, may be passed over. Superpixels (SLIC,
    Achanta 2012) are added by what each does alone, and those that are not needed go again. The smallest area is kept.

    Args:
        slope: The margin, with what may change.
        centre: Row and column of the pixel, in the part.
        fill: What the pixels become.
        shapes: What is tried.
        eight_bit: Whether changed values are whole grey levels.

    Raises:
        UserError: An unknown fill or shape.
    """
    if fill not in FILLS or not set(shapes) <= set(SHAPES):
        raise UserError(f"A natural change is {', '.join(FILLS)} in the shape of {', '.join(SHAPES)}.")
    trial = _Trial(slope, fill, eight_bit=eight_bit)
    centres = [centre, *_peaks(slope)]
    for shape in shapes:
        if shape == "superpixels":
            trial.try_superpixels()
        else:
            for each in centres:
                for make in _families(shape, each, trial.free.shape):
                    trial.try_growing(make)
    return trial.best


class _Trial:
    """Masks that are tried, and the smallest that flips."""

    def __init__(self, slope: Slope, fill: Fill, *, eight_bit: bool) -> None:
        self._slope, self._fill, self._eight_bit = slope, fill, eight_bit
        self._image = slope.start[0].cpu().numpy()
        self.free = (slope.low < slope.high).any(dim=1)[0].cpu().numpy()
        self.best: torch.Tensor | None = None
        self.smallest = int(self.free.sum()) + 1

    def margin(self, mask: np.ndarray) -> tuple[float, torch.Tensor]:
        """The margin with the allowed pixels of a mask filled, and the part of the image."""
        values = filled(self._image, mask & self.free, self._fill)
        if self._eight_bit:
            values = np.where(values == self._image, values, np.round(255 * values) / np.float32(255))
        changed = torch.from_numpy(values[None]).to(self._slope.start)
        return self._slope.margin(changed), changed

    def flips(self, mask: np.ndarray) -> bool:
        """Whether it flips; if it is the smallest so far it is kept."""
        margin, changed = self.margin(mask)
        area = int((changed != self._slope.start).any(dim=1).sum())
        if margin < 0 and 0 < area < self.smallest:
            self.best, self.smallest = changed, area
        return margin < 0

    def try_growing(self, make: Callable[[float], np.ndarray]) -> None:
        """Grow a shape until it flips or is larger than the smallest so far, then halve between the last two sizes."""
        before, size, longest = 0.0, 1.5, float(sum(self.free.shape))
        while True:
            mask = make(size)
            if int((mask & self.free).sum()) >= self.smallest or size > longest:
                return
            if self.flips(mask):
                break
            before, size = size, size * _GROWTH
        while size - before > 0.5:
            middle = (before + size) / 2
            if self.flips(make(middle)):
                size = middle
            else:
                before = middle

    def try_superpixels(self) -> None:
        """Add superpixels in the order of what each does alone, then take away those that are not needed."""
        from skimage.segmentation import slic  # noqa: PLC0415 - slow to import, and rarely wanted

        height, width = self.free.shape
        count = max(2, round(height * width / _SUPERPIXEL_SIDE**2))
        places = slic(np.moveaxis(self._image, 0, -1), count, compactness=0.1, channel_axis=-1, start_label=0)
        _, _, gradient = self._slope.slope(self._slope.start)
        weight = gradient.abs().sum(dim=1)[0].cpu().numpy()
        mass = np.bincount(places[self.free], weight[self.free], places.max() + 1)
        candidates = [int(index) for index in np.argsort(-mass)[:_MOST_ADDED] if mass[index] > 0]
        alone = {index: self.margin(places == index)[0] for index in candidates}
        order = sorted(candidates, key=lambda index: alone[index])
        chosen: list[int] = []
        for index in order:
            chosen.append(index)
            if self.flips(np.isin(places, chosen)):
                break
        else:
            return
        for index in reversed(chosen[:-1]):
            fewer = [other for other in chosen if other != index]
            if self.flips(np.isin(places, fewer)):
                chosen = fewer


def filled(image: np.ndarray, mask: np.ndarray, fill: Fill) -> np.ndarray:
    """An image, float32 (C, H, W), with the pixels of a mask, bool (H, W), filled; the others stay bit for bit."""
    if not mask.any():
        return image.copy()
    if fill == "inpaint":
        return filled_in(image, mask, everything(mask.shape))
    if fill == "blur":
        smooth = gaussian_filter(image, (0, DEFAULT_SIGMA, DEFAULT_SIGMA))
    else:
        smooth = uniform_filter(image, (0, _MEAN_SIDE, _MEAN_SIDE), mode="nearest")
    return np.where(mask, np.clip(smooth, 0, 1), image)


def _peaks(slope: Slope) -> list[tuple[int, int]]:
    """The peaks of the gradient's magnitude, gathered over a few pixels, the highest first."""
    from skimage.feature import peak_local_max  # noqa: PLC0415 - slow to import, and rarely wanted

    _, _, gradient = slope.slope(slope.start)
    mass = gaussian_filter(gradient.abs().sum(dim=1)[0].cpu().numpy(), _CENTRE_SPREAD)
    found = peak_local_max(mass, min_distance=3, num_peaks=_CENTRES, exclude_border=False)
    return [(int(row), int(column)) for row, column in found]


def _families(shape: Shape, centre: tuple[int, int], size: tuple[int, int]) -> Iterator[Callable[[float], np.ndarray]]:
    """Masks of a shape around a centre by their size, one family for each ratio of a rectangle's sides."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    down, across = np.abs(rows - centre[0]), np.abs(columns - centre[1])
    if shape == "disc":
        distance = np.hypot(down, across)
        yield lambda radius: distance <= radius
        return
    for aspect in _ASPECTS:
        reach = np.maximum(down / np.sqrt(aspect), across * np.sqrt(aspect))
        yield lambda half, reach=reach: reach <= half  # type: ignore[misc]
