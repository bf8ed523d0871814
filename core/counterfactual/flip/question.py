"""What counts as a flip: of one pixel, or of a share of a region's pixels."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError
from ...receptive_field.windows import Box
from ...segmenter import Prediction


@dataclass(frozen=True, eq=False)
class Question:
    """Which pixels are to leave which class.

    Attributes:
        mask: Bool (H, W), the pixels that count: all of them are predicted as `from_class`.
        from_class: The class that they are to leave.
        to_class: The class that they are to get; None for any other.
        share: The share of the pixels that is to flip, in (0, 1].
    """

    mask: np.ndarray
    from_class: int
    to_class: int | None = None
    share: float = 0.5

    @property
    def needed(self) -> int:
        """Number of pixels that are to flip."""
        return max(1, math.ceil(self.share * int(self.mask.sum()) - 1e-9))

    @property
    def box(self) -> Box:
        """Rows and columns of the box around the pixels."""
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def within(self, box: Box) -> "Question":
        """The same question about the logits of a box that holds all of its pixels."""
        return replace(self, mask=self.mask[box])

    def flipped(self, labels: np.ndarray) -> bool:
        """Whether labels (H, W) answer it: enough pixels have the other class."""
        found = labels[self.mask]
        new = found != self.from_class if self.to_class is None else found == self.to_class
        return int(np.count_nonzero(new)) >= self.needed

    def margins(self, logits: Tensor) -> Tensor:
        """How far each pixel's logits (B, K, H, W) are from the flip, (B, n): negative where it has flipped."""
        scores = logits[:, :, torch.from_numpy(self.mask).to(logits.device)]
        if self.to_class is None:
            own = scores[:, self.from_class]
            return own - _largest_but(scores, self.from_class)
        return _largest_but(scores, self.to_class) - scores[:, self.to_class]

    def margin(self, logits: Tensor) -> Tensor:
        """How far the whole question is from the flip, (B,): negative where enough pixels have flipped."""
        return self.margins(logits).kthvalue(self.needed, dim=1).values

    def objective(self, logits: Tensor) -> Tensor:
        """A smooth stand-in for `margin` that is lowered instead, (B,): the mean margin of the pixels nearest to it.

        Those that have flipped count as just flipped, so that it falls below 0 only when all of them have.
        """
        margins = self.margins(logits)
        if margins.shape[1] == 1:
            return margins[:, 0]
        nearest = margins.topk(self.needed, dim=1, largest=False).values
        worst = nearest.amax(dim=1)
        return torch.where(worst < 0, worst, nearest.clamp(min=0).mean(dim=1))


def question_about(
    prediction: Prediction,
    pixels: tuple[int, int] | np.ndarray,
    to_class: int | None = None,
    from_class: int | None = None,
    share: float = 0.5,
) -> Question:
    """The question about a pixel (row, column) or about the pixels of a mask, bool (H, W).

    Of a mask those count that are predicted as `from_class`, by default the class that most of them have.

    Raises:
        UserError: A pixel outside the image, an empty mask, a class that there is not, that the pixels do not have or
            that they have already.
    """
    num_classes = len(prediction.probabilities)
    if not 0 < share <= 1:
        raise UserError(f"The share of a region that is to flip lies above 0 and up to 1; {share:g} was given.")
    for chosen in (to_class, from_class):
        if chosen is not None and not 0 <= chosen < num_classes:
            raise UserError(f"There is no class {chosen}; the network has {num_classes}, counted from 0.")
    if isinstance(pixels, np.ndarray):
        mask, own = _of_region(prediction.labels, pixels.astype(bool), to_class, from_class)
    else:
        mask, own = _of_pixel(prediction.labels, *pixels, from_class)
    if own == to_class:
        raise UserError(f"The class {to_class} is what is predicted already; choose another class to flip to.")
    return Question(mask, own, to_class, share)


def _of_pixel(labels: np.ndarray, row: int, column: int, from_class: int | None) -> tuple[np.ndarray, int]:
    if not (0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]):
        size = f"{labels.shape[0]} rows and {labels.shape[1]} columns"
        raise UserError(f"The pixel ({row}, {column}) lies outside the image of {size}.")
    own = int(labels[row, column])
    if from_class not in (None, own):
        raise UserError(f"The pixel ({row}, {column}) is predicted as class {own}, not {from_class}.")
    mask = np.zeros(labels.shape, bool)
    mask[row, column] = True
    return mask, own


def _of_region(
    labels: np.ndarray, mask: np.ndarray, to_class: int | None, from_class: int | None
) -> tuple[np.ndarray, int]:
    if mask.shape != labels.shape:
        raise UserError(f"The region is of {mask.shape}, the image of {labels.shape}; they must be of one size.")
    if not mask.any():
        raise UserError("The region has no pixel; choose some.")
    if from_class is None:
        others = labels[mask] if to_class is None else labels[mask & (labels != to_class)]
        if not len(others):
            raise UserError(f"Every pixel of the region has the class {to_class} already; choose another class.")
        from_class = int(np.bincount(others).argmax())
    mask = mask & (labels == from_class)
    if not mask.any():
        raise UserError(f"No pixel of the region is predicted as class {from_class}; choose another region or class.")
    return mask, from_class


def allowed_outside(pixels: tuple[int, int] | np.ndarray, size: tuple[int, int], radius: float = 0.0) -> np.ndarray:
    """The context: all pixels, bool (H, W), further than `radius` pixels from a pixel or from every pixel of a mask.

    Raises:
        UserError: No pixel is so far away.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - slow to import, and rarely wanted

    inside = np.zeros(size, bool)
    if isinstance(pixels, np.ndarray):
        inside |= pixels.astype(bool)
    else:
        inside[pixels] = True
    allowed = distance_transform_edt(~inside) > radius
    if not allowed.any():
        raise UserError(f"A radius of {radius:g} pixels leaves no pixel of the image to change; take a smaller one.")
    return allowed


def _largest_but(scores: Tensor, class_index: int) -> Tensor:
    """The largest score (B, n) of the other classes of scores (B, K, n)."""
    return torch.cat((scores[:, :class_index], scores[:, class_index + 1 :]), dim=1).amax(dim=1)
