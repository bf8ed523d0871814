"""What is measured while pixels are taken away: the target's own score, its Dice, and what else moves."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..segmenter import Image, Prediction, Segmenter
from ..target import Target

Scorer = Callable[[Tensor], Tensor]
"""Logits (B, K, H, W) to numbers (B,)."""
ScoreKind = Literal["target", "logit", "probability", "dice"]

SCORE_KINDS: tuple[ScoreKind, ...] = get_args(ScoreKind)


def scorer_of(kind: ScoreKind, target: Target, prediction: Prediction) -> Scorer:
    """The score that a metric follows.

    Args:
        kind: "target": the very scalar that the map explains; "logit" or "probability": that of the same pixels and
            class in another score space; "dice": see `DiceScore`.
        target: What the map explains.
        prediction: Prediction of the unchanged image.

    Raises:
        UserError: An unknown kind, or an empty pixel set.
    """
    if kind not in SCORE_KINDS:
        raise UserError(f'The score is one of {", ".join(SCORE_KINDS)}; "{kind}" was given.')
    check_pixels(target, prediction.labels.shape)
    if kind == "dice":
        return DiceScore.of(target, prediction)
    return target if kind == "target" else replace(target, space=kind)


def check_pixels(target: Target, size: tuple[int, ...]) -> None:
    """A UserError where the target has no pixel in an image of `size` (height, width)."""
    if not target.pixels(size).any():
        raise UserError("The target has no pixel, so there is no score to follow; choose some pixels.")


@torch.no_grad()
def score_at(segmenter: Segmenter, image: Image, target: Target) -> float:
    """The target's score for one image (C, H, W)."""
    return float(target(segmenter.logits(segmenter.as_batch(image, single=True)))[0])


@dataclass(frozen=True, eq=False)
class DiceScore:
    """The Dice coefficient of a changed prediction against the original one, in [0, 1]; 1 where both are empty.

    Attributes:
        labels: Int64 (H, W), the original prediction.
        class_index: The class whose mask is compared; None compares all classes at once, 2 Σ_c |P_c ∩ R_c| / Σ_c (|P_c|
            + |R_c|), which is the share of pixels that keep their label.
        within: Bool (H, W), the pixels that are compared.
    """

    labels: np.ndarray
    class_index: int | None
    within: np.ndarray

    @classmethod
    def of(cls, target: Target, prediction: Prediction) -> "DiceScore":
        """For a target: over the whole image where its pixels are all those predicted as its class, else over them."""
        labels, pixels = prediction.labels, target.pixels(prediction.labels.shape)
        if target.labels is not None:
            return cls(labels, None, pixels)
        is_class = np.array_equal(pixels, labels == target.class_index)
        return cls(labels, target.class_index, np.ones_like(pixels) if is_class else pixels)

    def __call__(self, logits: Tensor) -> Tensor:
        """Dice (B,) of logits (B, K, H, W)."""
        within = torch.from_numpy(self.within).to(logits.device)
        labels = torch.from_numpy(self.labels).to(logits.device)
        predicted = logits.argmax(dim=1)
        if self.class_index is None:
            return ((predicted == labels) & within).sum(dim=(1, 2)).to(logits.dtype) / within.sum()
        ours, original = (predicted == self.class_index) & within, (labels == self.class_index) & within
        both = (ours & original).sum(dim=(1, 2)).to(logits.dtype)
        either = ours.sum(dim=(1, 2)) + original.sum()
        return torch.where(either > 0, 2 * both / either, 1.0)


class LeakageScore:
    """How much the prediction moves outside the target: mean total variation ½ Σ_k |p_k - p⁰_k|, in [0, 1].

    Args:
        target: Its pixels are left out.
        prediction: Prediction of the unchanged image, p⁰.
    """

    def __init__(self, target: Target, prediction: Prediction) -> None:
        self._probabilities = torch.from_numpy(prediction.probabilities)
        self._elsewhere = torch.from_numpy(~target.pixels(prediction.labels.shape))

    def __call__(self, logits: Tensor) -> Tensor:
        """Leakage (B,) of logits (B, K, H, W); NaN where the target is the whole image."""
        if self._probabilities.device != logits.device:
            self._probabilities = self._probabilities.to(logits.device)
            self._elsewhere = self._elsewhere.to(logits.device)
        moved = (logits.softmax(dim=1) - self._probabilities).abs_().sum(dim=1) / 2
        return (moved * self._elsewhere).sum(dim=(1, 2)) / self._elsewhere.sum()
