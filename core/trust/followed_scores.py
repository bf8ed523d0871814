"""What is measured while pixels are taken away: the target's own score, its Dice, and what else moves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ..errors import UserError
from ..segmenter import Image, Prediction, Segmenter
from ..target import Target

Scorer = Callable[[Tensor], Tensor]
"""Logits (B, K, H, W) to numbers (B,)."""
ScoreKind = Literal["target", "logit", "probability", "dice"]
SCORES: dict[ScoreKind, str] = {
    "target": "The one explained",
    "logit": "Logit",
    "probability": "Probability",
    "dice": "Dice with the original",
}
"""Scores to follow, on screen."""


def scorer_of(kind: ScoreKind, target: Target, prediction: Prediction) -> Scorer:
    """The score that a metric follows.

    Args:
        kind: "target": the very scalar that the map explains; "logit" or "probability": that of the same pixels and
            class in another score space; "dice": see `DiceScore`.
        target: What the map explains.
        prediction: Prediction of the unchanged image.

    Raises:
        UserError: An unknown kind.
    """
    if kind not in SCORES:
        raise UserError(f'The score is one of {", ".join(SCORES)}; "{kind}" was given.')
    if kind == "dice":
        return DiceScore(target, prediction)
    return target if kind == "target" else replace(target, space=kind)


@torch.no_grad()
def score_at(segmenter: Segmenter, image: Image, target: Target) -> float:
    """The target's score for one image (C, H, W)."""
    return float(target(segmenter.logits(segmenter.as_batch(image, single=True)))[0])


class DiceScore:
    """The Dice coefficient of a changed prediction against the original one, in [0, 1]; 1 where both are empty.

    It compares the target's class, in the whole image where the target's pixels are all those predicted as the class,
    else in these pixels. For a target of the predicted labels, all classes are compared at once, 2 Σ_c |P_c ∩ R_c|
    / Σ_c (|P_c| + |R_c|), which is the share of pixels that keep their label.

    Args:
        target: The scalar explained.
        prediction: Prediction of the unchanged image.
    """

    def __init__(self, target: Target, prediction: Prediction) -> None:
        self._labels, self._class_index = torch.from_numpy(prediction.labels), target.class_index
        self._of_all_classes = target.labels is not None
        self._within = torch.from_numpy(target.pixels(prediction.labels.shape))
        if not self._of_all_classes and torch.equal(self._within, self._labels == self._class_index):
            self._within = torch.ones_like(self._within)

    def __call__(self, logits: Tensor) -> Tensor:
        """Dice (B,) of logits (B, K, H, W)."""
        within, labels = self._within.to(logits.device), self._labels.to(logits.device)
        predicted = logits.argmax(dim=1)
        if self._of_all_classes:
            return ((predicted == labels) & within).sum(dim=(1, 2)).to(logits.dtype) / within.sum()
        ours, original = (predicted == self._class_index) & within, (labels == self._class_index) & within
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
