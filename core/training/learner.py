"""What Lightning is told: the loss, the optimiser, the scores of an epoch."""

from typing import Any, cast

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from ..data.index_masks import IGNORED
from ..scoring.overlap import Scores, score_labels
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


def score_known(labels: Tensor, mask: Tensor, num_classes: int) -> Scores:
    """The scores of labels (H, W) against a mask (H, W) over the pixels that are not `IGNORED`."""
    known = mask != IGNORED
    return score_labels(labels[known], mask[known], num_classes)


class Learner(lightning.LightningModule):
    """Trains the module inside a segmenter, through the segmenter's own face.

    So normalisation, padding and the reading of the network's output are the very ones that the trained network is
    used with afterwards.

    Args:
        segmenter: Whose module is trained; its parameters are thawed.
        settings: Of the run.
    """

    def __init__(self, segmenter: Segmenter, settings: TrainingSettings) -> None:
        super().__init__()
        self.network = segmenter.module.requires_grad_(requires_grad=True)
        self.segmenter = segmenter
        self.settings = settings
        # Left in, a NaN shows that the training has diverged; torchmetrics would drop it and go on.
        self.train_loss, self.penalty, self.validation_loss = (MeanMetric(nan_strategy="disable") for _ in range(3))
        self.validation_iou = MeanMetric(nan_strategy="ignore")
        self.validation_dice = MeanMetric(nan_strategy="ignore")
        self.learning_rate = 0.0

    def training_step(self, batch: Batch, _batch_index: int) -> Tensor:
        """Cross-entropy of a batch of crops, plus the penalty."""
        images, masks = batch
        logits = self.segmenter.unchecked_logits(images.contiguous(memory_format=torch.channels_last))
        loss = pixel_cross_entropy(logits, masks)
        penalty = parameter_penalty(self.network, self.settings.penalty, self.settings.penalty_weight)
        self.train_loss.update(loss.detach(), len(images))
        self.penalty.update(penalty.detach())
        self.learning_rate = cast("torch.optim.Optimizer", self.optimizers()).param_groups[0]["lr"]
        return loss + penalty.to(loss.device)

    def validation_step(self, batch: Batch, _batch_index: int) -> None:
        """Scores of one whole image."""
        images, masks = batch
        logits = self.segmenter.unchecked_logits(images.contiguous(memory_format=torch.channels_last))
        self.validation_loss.update(pixel_cross_entropy(logits, masks))
        for labels, mask in zip(logits.argmax(dim=1), masks, strict=True):
            scores = score_known(labels, mask, len(self.settings.class_names))
            self.validation_iou.update(scores.foreground_iou)
            self.validation_dice.update(scores.foreground_dice)

    def on_validation_epoch_end(self) -> None:
        """Hand the mean IoU to early stopping and to the progress bar."""
        self.log("validation_iou", self.validation_iou.compute(), prog_bar=True)

    def take_epoch(self) -> dict[str, float]:
        """The means over the epoch that ends, by name; the next epoch starts from nothing."""
        means = {}
        for name in ("train_loss", "penalty", "validation_loss", "validation_iou", "validation_dice"):
            metric = getattr(self, name)
            means[name] = float(metric.compute())
            metric.reset()
        return means

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle learning rate that moves with every step."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.settings.learning_rate, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
