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


def class_scores(logits: Tensor, class_index: int, space: Space, against: int | None = None) -> Tensor:
    """Scores of one class: logits (B, K, …) -> (B, …), in the score space.

    - logit: z_c; against class b, z_c - z_b.
    - probability: softmax(z)_c; against b, softmax(z)_c - softmax(z)_b.
    - log_odds: z_c - logsumexp of the other classes' logits = log(p_c / (1 - p_c)); against b, log(p_c / p_b), which is
      z_c - z_b.
    """
    if space == "log_odds" and against is None:
        return _log_odds(logits, class_index)
    scores = logits.softmax(dim=1) if space == "probability" else logits
    return scores[:, class_index] if against is None else scores[:, class_index] - scores[:, against]


def _log_odds(logits: Tensor, class_index: int) -> Tensor:
    others = torch.cat((logits[:, :class_index], logits[:, class_index + 1 :]), dim=1)
    return logits[:, class_index] - others.logsumexp(dim=1)


def scores_of_labels(logits: Tensor, labels: Tensor, space: Space, against: int | None = None) -> Tensor:
    """Scores (B, H, W) of the class that `labels` (H, W) names at each pixel, of logits (B, K, H, W).

    Where a label is the class `against` itself, it is that class's score without a contrast, as in `Score.of_label`.
    """
    if space == "log_odds" and against is None:
        scores = torch.stack([_log_odds(logits, index) for index in range(logits.shape[1])], dim=1)
    else:
        scores = logits.softmax(dim=1) if space == "probability" else logits
    found = scores.gather(1, labels.expand(len(logits), 1, -1, -1))[:, 0]
    if against is None:
        return found
    return torch.where(labels == against, class_scores(logits, against, space), found - scores[:, against])


def _outside(row: int | None, column: int | None, size: tuple[int, ...]) -> UserError:
    return UserError(f"The pixel ({row}, {column}) lies outside the image of {size[0]} rows and {size[1]} columns.")


@dataclass(frozen=True)
class Score:
    """The score of a class at a pixel, or how far it exceeds that of another class.

    Attributes:
        class_index: The class, or `PREDICTED` for the class predicted at the pixel.
        space: Score space of the class: logit, probability or log_odds (see `class_scores`).
        against: The class whose score is subtracted; None for the class alone.

    Raises:
        UserError: An unknown class or score space, or a class against itself.
    """

    class_index: int = 1
    space: Space = "logit"
    against: int | None = None

    def __post_init__(self) -> None:
        if self.class_index < PREDICTED or (self.against is not None and self.against < 0):
            wrong = self.class_index if self.class_index < PREDICTED else self.against
            raise UserError(f"Classes count from 0; class {wrong} was given.")
        if self.space not in SPACES:
            raise UserError(f'The score space is one of {", ".join(SPACES)}; "{self.space}" was given.')
        if self.against == self.class_index:
            raise UserError(f"Class {self.against} cannot be explained against itself; name another class.")

    def check(self, num_classes: int) -> None:
        """Raise a UserError unless a network of `num_classes` has the classes."""
        highest = max(self.class_index, -1 if self.against is None else self.against)
        if highest >= num_classes:
            raise UserError(f"There is no class {highest}; the network has {num_classes}, counted from 0.")

    def of_label(self, label: int) -> "Score":
        """The score at a pixel that is predicted as class `label`: `PREDICTED` becomes that class.

        Where that is the class `against` itself there is no contrast, and it is the score of the class alone.
        """
        if self.class_index != PREDICTED:
            return self
        return Score(label, self.space, None if label == self.against else self.against)

    def at(self, row: int, column: int, labels: np.ndarray | None = None) -> "Target":
        """The target of one pixel; the labels (H, W) of the prediction say which class `PREDICTED` is.

        Raises:
            UserError: As `Target.pixel`; or `PREDICTED` without labels.
        """
        score = self
        if self.class_index == PREDICTED:
            if labels is None:
                raise UserError("The class predicted at a pixel is known from a prediction only; give its labels.")
            if not (0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]):
                raise _outside(row, column, labels.shape)
            score = self.of_label(int(labels[row, column]))
        return Target.pixel(row, column, score.class_index, score.space, score.against)

    @property
    def unit(self) -> str:
        """Unit of the score."""
        difference = " difference" if self.against is not None and self.space != "log_odds" else ""
        return self.space.replace("_", " ") + difference

    @property
    def gradient_unit(self) -> str:
        """Unit of its gradients."""
        return f"{self.unit} per unit intensity"


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
        against: The class whose score is subtracted (see `class_scores`); None for the class alone. Where a label is
            this very class, its score counts without a contrast.
    """

    class_index: int
    space: Space
    row: int | None = None
    column: int | None = None
    mask: np.ndarray | None = None
    reduction: Reduction = "sum"
    labels: np.ndarray | None = None
    against: int | None = None

    def __post_init__(self) -> None:
        if self.class_index < 0 and self.labels is None:
            raise UserError(f"Classes count from 0; class {self.class_index} was given.")
        _ = self.score

    @property
    def score(self) -> Score:
        """The score that is summed or averaged."""
        return Score(self.class_index, self.space, self.against)

    @classmethod
    def pixel(
        cls, row: int, column: int, class_index: int = 1, space: Space = "probability", against: int | None = None
    ) -> "Target":
        """The score of one pixel, or how far it exceeds that of the class `against`.

        Raises:
            UserError: A negative row, column or class, a class against itself, or an unknown score space.
        """
        if row < 0 or column < 0:
            raise UserError(f"Rows and columns count from 0; ({row}, {column}) was given.")
        return cls(int(class_index), space, int(row), int(column), against=against)

    @classmethod
    def region(
        cls,
        mask: np.ndarray | Tensor,
        class_index: int = 1,
        space: Space = "logit",
        reduction: Reduction = "sum",
        against: int | None = None,
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
        return cls(int(class_index), space, mask=weights, reduction=reduction, against=against)

    @classmethod
    def prediction(
        cls,
        labels: np.ndarray | Tensor,
        space: Space = "probability",
        reduction: Reduction = "sum",
        mask: np.ndarray | Tensor | None = None,
        against: int | None = None,
    ) -> "Target":
        """The whole prediction: the score of the predicted class, summed or averaged over all pixels.

        The labels are int (H, W), the predicted class of each pixel, as `Prediction.labels`; they stay the same however
        the prediction changes along a path. A mask (H, W) of booleans or weights, as in `region`, leaves pixels out.
        With `against`, the score of that class is subtracted, but at pixels whose label it is: there the score of the
        label counts alone, so that the target is the sum of `Score.at` over its pixels.

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
        return cls(PREDICTED, space, mask=region.mask, reduction=reduction, labels=classes, against=against)

    def __call__(self, logits: Tensor) -> Tensor:
        """Scores (B,) of logits (B, K, H, W).

        Raises:
            UserError: The class, the pixel or the mask does not fit the logits.
        """
        self.check(logits.shape[1], (logits.shape[2], logits.shape[3]))
        if self.mask is None:
            return class_scores(logits[:, :, self.row, self.column], self.class_index, self.space, self.against)
        weights = torch.tensor(self.mask, device=logits.device, dtype=logits.dtype)
        if self.labels is None:
            scores = class_scores(logits, self.class_index, self.space, self.against)
        else:
            scores = scores_of_labels(logits, torch.tensor(self.labels, device=logits.device), self.space, self.against)
        total = (scores * weights).sum(dim=(1, 2))
        return total / weights.sum() if self.reduction == "mean" else total

    def check(self, num_classes: int, size: tuple[int, int]) -> None:
        """Raise a UserError unless the target fits `num_classes` classes and an image of `size` (height, width)."""
        self.score.check(num_classes)
        if self.labels is not None and self.labels.size:
            self.score.of_label(int(self.labels.max())).check(num_classes)
        height, width = size
        if self.mask is not None:
            if self.mask.shape != size:
                raise UserError(
                    f"The region is {self.mask.shape[0]}×{self.mask.shape[1]} pixels, the image {height}×{width}; "
                    "they must be of one size."
                )
        elif self.row is None or self.column is None or self.row >= height or self.column >= width:
            raise _outside(self.row, self.column, size)

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
        return self._counted.unit

    @property
    def unit(self) -> str:
        """The unit of a gradient of this target."""
        return self._counted.gradient_unit

    @property
    def _counted(self) -> Score:
        """The score without its contrast where no pixel has one: all are labelled as the class held against."""
        if self.labels is None or self.mask is None or not (self.labels[self.mask != 0] == self.against).all():
            return self.score
        return replace(self.score, against=None)

    def describe(self) -> dict[str, object]:
        """The target as plain values for a manifest; a region is named by its hash and size."""
        description: dict[str, object] = {
            "class_index": "predicted" if self.labels is not None else self.class_index,
            "space": self.space,
        }
        if self.against is not None:
            description["against"] = self.against
        if self.labels is not None:
            description["labels_sha256"] = hashlib.sha256(self.labels.tobytes()).hexdigest()
        if self.mask is None:
            return description | {"row": self.row, "column": self.column}
        return description | {
            "reduction": self.reduction,
            "pixels": int(np.count_nonzero(self.mask)),
            "mask_sha256": hashlib.sha256(self.mask.tobytes()).hexdigest(),
        }
