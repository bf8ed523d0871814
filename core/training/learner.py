"""The part of a run that Lightning drives: loss, optimiser, and the means of an epoch."""

import math
from collections import defaultdict
from typing import Any, cast

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.index_masks import IGNORED
from ..scoring.overlap import score_labels
from ..segmenter import Segmenter
from .settings import Penalty, TrainingSettings

Batch = tuple[Tensor, Tensor]


def parameter_penalty(module: nn.Module, penalty: Penalty, weight: float) -> Tensor:
    """The term weight · Σ|θ| ("l1") or weight · Σθ² ("l2") over all trainable parameters θ; 0 for "none"."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if penalty == "none" or not parameters:
        return torch.zeros(())
    terms = [parameter.abs().sum() if penalty == "l1" else parameter.square().sum() for parameter in parameters]
    return weight * torch.stack(terms).sum()


def pixel_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy of logits (B, K, H, W) against class indices (B, H, W), averaged over the pixels, in nats.

    For the two classes (0, z) of a one-channel network it is the binary cross-entropy of z. Pixels that are `IGNORED`
    do not count; where all are, the loss is 0.
    """
    # As a long list of pixels, because torch's two-dimensional loss has no deterministic version on a GPU.
    pixels, classes = logits.permute(0, 2, 3, 1).flatten(0, 2), masks.flatten()
    total = F.cross_entropy(pixels, classes, ignore_index=IGNORED, reduction="sum")
    return total / (classes != IGNORED).sum().clamp(min=1)


class Learner(lightning.LightningModule):
    """Trains the module inside a segmenter, through the segmenter's own methods.

    Normalisation, padding and the reading of the network's output are therefore those that the trained network is
    used with afterwards.

    Args:
        segmenter: Segmenter whose module is trained; its parameters are made trainable.
        settings: Settings of the run.
    """

    def __init__(self, segmenter: Segmenter, settings: TrainingSettings) -> None:
        super().__init__()
        self.network = segmenter.module.requires_grad_(requires_grad=True)
        self.segmenter = segmenter
        self.settings = settings
        self.learning_rate = 0.0
        # Values and weights of the epoch so far; on the GPU they stay there until the epoch ends.
        self._epoch: dict[str, list[tuple[Tensor, int]]] = defaultdict(list)

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        """Cross-entropy of a batch of crops, plus the penalty."""
        images, masks = batch
        logits = self.segmenter.unchecked_logits(images.contiguous(memory_format=torch.channels_last))
        loss = pixel_cross_entropy(logits, masks)
        penalty = parameter_penalty(self.network, self.settings.penalty, self.settings.penalty_weight)
        self._epoch["train_loss"].append((loss.detach(), len(images)))
        self._epoch["penalty"].append((penalty.detach(), 1))
        self.learning_rate = cast("torch.optim.Optimizer", self.optimizers()).param_groups[0]["lr"]
        return loss + penalty.to(loss.device)

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        """Scores of one whole image."""
        images, masks = batch
        logits = self.segmenter.unchecked_logits(images.contiguous(memory_format=torch.channels_last))
        self._epoch["validation_loss"].append((pixel_cross_entropy(logits, masks), 1))
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
        return float(np.average(torch.stack(values).double().cpu(), weights=weights))

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle learning rate that moves with every step."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.settings.learning_rate, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
