"""`Target`: which scalar is explained."""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from .errors import UserError

Space = Literal["logit", "probability", "log_odds"]
Reduction = Literal["sum", "mean"]

SPACES: tuple[Space, ...] = get_args(Space)

PREDICTED = -1
"""Stands for the class that is predicted at each pixel."""


def class_scores(logits: Tensor, class_index: int, space: Space) -> Tensor:
    """Scores of one class: logits (B, K, …) -> (B, …), in the score space.

    - logit: z_c.
    - probability: softmax(z)_c.
    - log_odds: z_c - logsumexp of the other classes' logits = log(p_c / (1 - p_c)).
    """
    if space == "logit":
        return logits[:, class_index]
    if space == "probability":
        return logits.softmax(dim=1)[:, class_index]
    others = torch.cat((logits[:, :class_index], logits[:, class_index + 1 :]), dim=1)
    return logits[:, class_index] - others.logsumexp(dim=1)


def scores_of_labels(logits: Tensor, labels: Tensor, space: Space) -> Tensor:
    """Scores (B, H, W) of the class that `labels` (H, W) names at each pixel, of logits (B, K, H, W)."""
    if space == "logit":
        scores = logits
    elif space == "probability":
        scores = logits.softmax(dim=1)
    else:
        scores = torch.stack([class_scores(logits, index, space) for index in range(logits.shape[1])], dim=1)
    return scores.gather(1, labels.expand(len(logits), 1, -1, -1))[:, 0]


@dataclass(frozen=True, eq=False)
class Target:
    """The scalar explained: the sum or the mean, over a set of pixels, of the score of one class.

    Make one with `Target.pixel`, `Target.region` or `Target.prediction`; call it with logits (B, K, H, W) to get the
    scores (B,).

    Attributes:
        class_index: The class c, or `PREDICTED` for the class in `labels` at each pixel.
        space: Score space of c: logit, probability or log_odds (see `class_scores`).
        row: Row of a single pixel, zero-based; None for a region.
        column: Column of a single pixel, zero-based; None for a region.
        mask: Weights of the pixels of a region, float32 (H, W); None for a single pixel.
        reduction: Sum of weight · score over a region, or that divided by the sum of the weights (mean).
        labels: Int64 (H, W), the class of each pixel where `class_index` is `PREDICTED`; else None.
    """

    class_index: int
    space: Space
    row: int | None = None
    column: int | None = None
    mask: np.ndarray | None = None
    reduction: Reduction = "sum"
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.class_index < 0 and self.labels is None:
            raise UserError(f"Classes count from 0; class {self.class_index} was given.")
        if self.space not in SPACES:
            raise UserError(f'The score space is one of {", ".join(SPACES)}; "{self.space}" was given.')

    @classmethod
    def pixel(cls, row: int, column: int, class_index: int = 1, space: Space = "probability") -> "Target":
        """The score of one pixel.

        Raises:
            UserError: A negative row, column or class, or an unknown score space.
        """
        if row < 0 or column < 0:
            raise UserError(f"Rows and columns count from 0; ({row}, {column}) was given.")
        return cls(int(class_index), space, int(row), int(column))

    @classmethod
    def region(
        cls, mask: np.ndarray | Tensor, class_index: int = 1, space: Space = "logit", reduction: Reduction = "sum"
    ) -> "Target":
        """The score summed or averaged ("sum" or "mean") over a region.

        The mask is (H, W), booleans or weights. An empty one is allowed with the sum: its score and maps are 0.

        Raises:
            UserError: A mask that is not (H, W) or not finite, a mean over nothing, an unknown space or reduction.
        """
        if reduction not in get_args(Reduction):
            raise UserError(f'The reduction is one of {", ".join(get_args(Reduction))}; "{reduction}" was given.')
        weights = np.array(mask.cpu() if isinstance(mask, Tensor) else mask, dtype=np.float32)
        if weights.ndim != 2 or not np.isfinite(weights).all():
            raise UserError(f"A region is a finite mask (height, width); this one has the shape {weights.shape}.")
        if reduction == "mean" and weights.sum() == 0:
            raise UserError("The mean over an empty region is not defined; choose some pixels, or the sum.")
        weights.flags.writeable = False
        return cls(int(class_index), space, mask=weights, reduction=reduction)

    @classmethod
    def prediction(
        cls,
        labels: np.ndarray | Tensor,
        space: Space = "probability",
        reduction: Reduction = "sum",
        mask: np.ndarray | Tensor | None = None,
    ) -> "Target":
        """The whole prediction: the score of the predicted class, summed or averaged over all pixels.

        The labels are int (H, W), the predicted class of each pixel, as `Prediction.labels`; they stay the same however
        the prediction changes along a path. A mask (H, W) of booleans or weights, as in `region`, leaves pixels out.

        Raises:
            UserError: Labels that are not whole numbers (H, W), or a mask of another size; else as `Target.region`.
        """
        classes = np.array(labels.cpu() if isinstance(labels, Tensor) else labels)
        if classes.ndim != 2 or classes.dtype.kind not in "iu" or (classes.size and classes.min() < 0):
            raise UserError("The labels of a prediction are whole numbers from 0, (height, width).")
        region = cls.region(np.ones(classes.shape, bool) if mask is None else mask, 0, space, reduction)
        if region.mask is None or region.mask.shape != classes.shape:
            raise UserError("The mask and the labels of a prediction must be of one size.")
        classes = classes.astype(np.int64)
        classes.flags.writeable = False
        return cls(PREDICTED, space, mask=region.mask, reduction=reduction, labels=classes)

    def __call__(self, logits: Tensor) -> Tensor:
        """Scores (B,) of logits (B, K, H, W).

        Raises:
            UserError: The class, the pixel or the mask does not fit the logits.
        """
        self.check(logits.shape[1], (logits.shape[2], logits.shape[3]))
        if self.mask is None:
            return class_scores(logits[:, :, self.row, self.column], self.class_index, self.space)
        weights = torch.tensor(self.mask, device=logits.device, dtype=logits.dtype)
        if self.labels is None:
            scores = class_scores(logits, self.class_index, self.space)
        else:
            scores = scores_of_labels(logits, torch.tensor(self.labels, device=logits.device), self.space)
        total = (scores * weights).sum(dim=(1, 2))
        return total / weights.sum() if self.reduction == "mean" else total

    def check(self, num_classes: int, size: tuple[int, int]) -> None:
        """Raise a UserError unless the target fits `num_classes` classes and an image of `size` (height, width)."""
        highest = self.class_index if self.labels is None else int(self.labels.max(initial=0))
        if highest >= num_classes:
            raise UserError(f"There is no class {highest}; the network has {num_classes}, counted from 0.")
        height, width = size
        if self.mask is not None:
            if self.mask.shape != size:
                raise UserError(
                    f"The region is {self.mask.shape[0]}×{self.mask.shape[1]} pixels, the image {height}×{width}; "
                    "they must be of one size."
                )
        elif self.row is None or self.column is None or self.row >= height or self.column >= width:
            raise UserError(
                f"The pixel ({self.row}, {self.column}) lies outside the image of {height} rows and {width} columns."
            )

    def pixels(self, size: tuple[int, ...]) -> np.ndarray:
        """The pixels whose scores count, bool (H, W), of an image of `size` (height, width)."""
        if self.mask is not None:
            return self.mask != 0
        pixels = np.zeros(size, dtype=bool)
        pixels[self.row, self.column] = True
        return pixels

    @property
    def box(self) -> tuple[slice, slice] | None:
        """Rows and columns of the box around the pixels whose scores count; None where there are none."""
        if self.mask is None:
            assert self.row is not None and self.column is not None  # noqa: S101, PT018 - a target has one or the other
            return slice(self.row, self.row + 1), slice(self.column, self.column + 1)
        rows, columns = (np.flatnonzero((self.mask != 0).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def within(self, box: tuple[slice, slice]) -> "Target":
        """The same target for the logits of a box that holds `Target.box` alone."""
        if self.row is not None and self.column is not None:
            return replace(self, row=self.row - box[0].start, column=self.column - box[1].start)
        mask, labels = (None if each is None else each[box] for each in (self.mask, self.labels))
        return replace(self, mask=mask, labels=labels)

    @property
    def score_unit(self) -> str:
        """The unit of the target itself."""
        return self.space.replace("_", " ")

    @property
    def unit(self) -> str:
        """The unit of a gradient of this target."""
        return f"{self.score_unit} per unit intensity"

    def describe(self) -> dict[str, object]:
        """The target as plain values for a manifest; a region is named by its hash and size."""
        description: dict[str, object] = {
            "class_index": "predicted" if self.labels is not None else self.class_index,
            "space": self.space,
        }
        if self.labels is not None:
            description["labels_sha256"] = hashlib.sha256(self.labels.tobytes()).hexdigest()
        if self.mask is None:
            return description | {"row": self.row, "column": self.column}
        return description | {
            "reduction": self.reduction,
            "pixels": int(np.count_nonzero(self.mask)),
            "mask_sha256": hashlib.sha256(self.mask.tobytes()).hexdigest(),
        }
