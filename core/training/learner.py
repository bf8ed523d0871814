"""The part of a run that Lightning drives: loss, optimiser, and the means of an epoch."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.index_masks import IGNORED
from ..scoring.overlap import score_labels
from ..segmenter import Segmenter
from .settings import Loss, Penalty, TrainingSettings

Batch = tuple[Tensor, Tensor]
_SMALLEST_SUM = 1e-6


def parameter_penalty(module: nn.Module, penalty: Penalty, weight: float) -> Tensor:
    """The term weight · Σ|θ| ("l1") or weight · Σθ² ("l2") over all trainable parameters θ; 0 for "none"."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if penalty == "none" or not parameters:
        return torch.zeros(())
    terms = [parameter.abs().sum() if penalty == "l1" else parameter.square().sum() for parameter in parameters]
    return weight * torch.stack(terms).sum()


def pixel_cross_entropy(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits (B, K, H, W) against class indices (B, H, W), averaged over the pixels, in nats.

    For the two classes (0, z) of a one-channel network it is the binary cross-entropy of z. Pixels that are `IGNORED`
    do not count; where all are, the loss is 0. With weights (K,) it is the mean weighted by those of the true classes.
    """
    # As a long list of pixels, because torch's two-dimensional loss has no deterministic version on a GPU.
    pixels, classes = logits.permute(0, 2, 3, 1).flatten(0, 2), masks.flatten()
    total = F.cross_entropy(pixels, classes, weights, ignore_index=IGNORED, reduction="sum")
    return total / _weight_of(classes, weights)


def _weight_of(classes: Tensor, weights: Tensor | None) -> Tensor:
    """Sum of the weights of the pixels that are not `IGNORED`, by default their number; never 0."""
    counted = classes != IGNORED
    if weights is None:
        return counted.sum().clamp(min=1)
    return weights[classes[counted]].sum().clamp(min=_SMALLEST_SUM)


def soft_dice_loss(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 minus the soft Dice of each class, averaged over the classes, for logits (B, K, H, W) and masks (B, H, W).

    Dice = 2 Σ p·t / (Σ p + Σ t) with probabilities p and truth t over the pixels of the whole batch (Milletari et al.
    2016, with the sums of p and t not squared). Pixels that are `IGNORED` do not count; a class that is neither there
    nor predicted has a Dice of 1. With weights (K,) it is the weighted mean over the classes.
    """
    counted = (masks != IGNORED).unsqueeze(1)
    truth = F.one_hot(masks.where(masks != IGNORED, 0), logits.shape[1]).movedim(-1, 1) * counted
    probabilities = logits.softmax(dim=1) * counted
    axes = (0, 2, 3)
    overlap, total = (probabilities * truth).sum(axes), (probabilities + truth).sum(axes)
    dice = (2 * overlap + _SMALLEST_SUM) / (total + _SMALLEST_SUM)
    return 1 - (dice.mean() if weights is None else (weights * dice).sum() / weights.sum())


def focal_loss(logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σ -(1 - p)² log p over the pixels that are not `IGNORED`, divided by their number (Lin et al. 2017, γ = 2).

    p is the probability of the true class, for logits (B, K, H, W) and masks (B, H, W). With weights (K,) it is the
    mean weighted by those of the true classes.
    """
    logs = logits.log_softmax(dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    classes = masks.flatten()
    counted = classes != IGNORED
    of_truth = logs.gather(1, classes.where(counted, 0)[:, None])[:, 0]
    terms = -((1 - of_truth.exp()) ** 2) * of_truth
    if weights is not None:
        terms = terms * weights[classes.where(counted, 0)]
    return terms.where(counted, 0).sum() / _weight_of(classes, weights)


def loss_of(name: Loss, logits: Tensor, masks: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """The loss of that name, a scalar, for logits (B, K, H, W) and masks (B, H, W), with a weight per class or none."""
    given = None if weights is None else torch.tensor(weights, dtype=logits.dtype, device=logits.device)
    if name == "focal":
        return focal_loss(logits, masks, given)
    loss = pixel_cross_entropy(logits, masks, given)
    return loss + soft_dice_loss(logits, masks, given) if name == "dice_cross_entropy" else loss


class Learner(lightning.LightningModule):
    """Trains the module inside a segmenter, through the segmenter's own methods.

    Normalisation, padding and the reading of the network's output are therefore those that the trained network is
    used with afterwards.

    Args:
        segmenter: Segmenter whose module is trained; its parameters are made trainable.
        settings: Settings of the run.
        steps: Steps of all epochs, for which the one-cycle learning rate is planned.
        state: State of the optimiser and of the schedule, of a run that is taken up again.
        class_weights: Weight of each class in the loss.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        settings: TrainingSettings,
        steps: int,
        state: Mapping[str, Any] | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.network = segmenter.module.requires_grad_(requires_grad=True)
        self.segmenter = segmenter
        self.settings = settings
        self.learning_rate = 0.0
        self._steps, self._state, self._class_weights = steps, state, class_weights
        # Values and weights of the epoch so far; on the GPU they stay there until the epoch ends.
        self._epoch: dict[str, list[tuple[Tensor, int]]] = defaultdict(list)

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        """Loss of a batch of crops, plus the penalty."""
        images, masks = batch
        logits = self.segmenter.unchecked_logits(images.contiguous(memory_format=torch.channels_last))
        loss = loss_of(self.settings.loss, logits, masks, self._class_weights)
        penalty = parameter_penalty(self.network, self.settings.penalty, self.settings.penalty_weight)
        self._epoch["train_loss"].append((loss.detach(), len(images)))
        self._epoch["penalty"].append((penalty.detach(), 1))
        self.learning_rate = cast("torch.optim.Optimizer", self.optimizers()).param_groups[0]["lr"]
        return loss + penalty.to(loss.device)

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        """Scores of one whole image."""
        images, masks = batch
        logits = self.segmenter.unchecked_logits(images.contiguous(memory_format=torch.channels_last))
        loss = loss_of(self.settings.loss, logits, masks, self._class_weights)
        self._epoch["validation_loss"].append((loss, 1))
        for labels, mask in zip(logits.argmax(dim=1), masks, strict=True):
            scores = score_labels(labels, mask, self.segmenter.num_classes)
            for name, score in (("iou", scores.foreground_iou), ("dice", scores.foreground_dice)):
                if not math.isnan(score):  # an image without foreground
                    self._epoch[f"validation_{name}"].append((torch.tensor(score), 1))

    def on_validation_epoch_end(self) -> None:
        """Hand the mean IoU to early stopping and to the progress bar."""
        self.log("validation_iou", self._mean("validation_iou"), prog_bar=True)

    def take_epoch(self) -> dict[str, float]:
        """The means over the epoch that ends, by name; the next epoch starts from nothing."""
        names = ("train_loss", "penalty", "validation_loss", "validation_iou", "validation_dice")
        means = {name: self._mean(name) for name in names}
        self._epoch.clear()
        return means

    def _mean(self, name: str) -> float:
        """A NaN is kept where it comes from a loss: it shows that the training has diverged."""
        values, weights = zip(*self._epoch[name], strict=True)
        mean = np.average(torch.stack(values).double().cpu(), weights=weights)
        if self.trainer.world_size == 1:
            return float(mean)
        total = torch.tensor([mean * sum(weights), sum(weights)], dtype=torch.float64, device=self.device)
        summed: Any = self.trainer.strategy.reduce(total, reduce_op="sum")
        return float(summed[0] / summed[1])

    def configure_optimizers(self) -> Any:
        """AdamW, under a learning rate that moves with every step, or falls where the validation IoU stays."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        scheduler: Any
        if self.settings.schedule == "one_cycle":
            scheduler = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=self.settings.learning_rate, total_steps=self._steps
            )
            plan = {"scheduler": scheduler, "interval": "step"}
        else:
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, "max", factor=1 / 3, patience=self.settings.patience // 3
            )
            plan = {"scheduler": scheduler, "interval": "epoch", "monitor": "validation_iou"}
        if self._state is not None:
            optimizer.load_state_dict(self._state["optimizer"])
            scheduler.load_state_dict(self._state["scheduler"])
        return {"optimizer": optimizer, "lr_scheduler": plan}
