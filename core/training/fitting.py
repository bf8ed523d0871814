"""Training with Lightning: the loop, what it writes every epoch, and keeping it quiet and repeatable."""

import contextlib
import logging
import math
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, TQDMProgressBar
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader

from ..errors import UserError
from ..io.files import write_atomically
from ..io.tables import csv_bytes
from ..models.checkpoint import CheckpointInfo, save_checkpoint
from ..segmenter import Segmenter
from .learner import Learner
from .record import EpochRecord, OnEpoch
from .settings import TrainingSettings
from .training_data import TrainingData, WholeImages


class EpochLog(lightning.Callback):
    """Writes one row per epoch, and the weights whenever the validation IoU is the best so far."""

    def __init__(self, checkpoint: Path, info: CheckpointInfo, metrics: Path, on_epoch: OnEpoch | None) -> None:
        self.checkpoint, self.metrics = checkpoint, metrics
        self.info, self.on_epoch = info, on_epoch
        self.records: list[EpochRecord] = []
        self.best_epoch = 0
        self._epoch_start = 0.0

    @property
    def best(self) -> EpochRecord:
        """The row of the epoch whose weights were kept."""
        return self.records[self.best_epoch - 1]

    def on_train_epoch_start(self, *_: object) -> None:
        """Start the clock."""
        self._epoch_start = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, learner: Learner) -> None:  # type: ignore[override]
        """Write the row, and the weights if they are the best.

        Raises:
            UserError: A loss that is no longer finite.
        """
        record = EpochRecord(
            epoch=trainer.current_epoch + 1,
            **learner.take_epoch(),
            learning_rate=learner.learning_rate,
            seconds=time.perf_counter() - self._epoch_start,
        )
        if not math.isfinite(record.train_loss + record.penalty + record.validation_loss):
            raise UserError(f"The loss is no longer finite in epoch {record.epoch}; lower the learning rate.")
        self.records.append(record)
        write_atomically(self.metrics, csv_bytes([kept.as_row() for kept in self.records]))
        if not self.best_epoch or record.validation_iou > self.best.validation_iou:
            self.best_epoch = record.epoch
            save_checkpoint(self.checkpoint, learner.network, self.info)
        if self.on_epoch is not None:
            self.on_epoch(record)


def fit(
    segmenter: Segmenter,
    settings: TrainingSettings,
    data: TrainingData,
    log: EpochLog,
    *,
    workers: int,
    progress_bar: bool,
) -> None:
    """Train until the last epoch, or until the validation IoU has not improved for `patience` epochs.

    Raises:
        UserError: A loss that is no longer finite, or a GPU whose memory is too small.
    """
    device, crops = segmenter.device, data.training_crops(settings)
    # A last batch of one crop would give batch normalisation poor statistics, so it is left out where that costs
    # little: the order changes every epoch.
    drop_last = len(crops) >= 4 * settings.batch_size
    batches: DataLoader = DataLoader(
        crops,
        settings.batch_size,
        shuffle=True,
        drop_last=drop_last,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    images: DataLoader = DataLoader(WholeImages(data.validation), batch_size=1)
    callbacks = [log, EarlyStopping("validation_iou", mode="max", patience=settings.patience)]
    trainer = lightning.Trainer(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        max_epochs=settings.epochs,
        deterministic=True,
        callbacks=[*callbacks, TQDMProgressBar()] if progress_bar else callbacks,
        enable_progress_bar=progress_bar,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    # A segmenter's module is in eval mode, and Lightning leaves the mode as it is: batch normalisation would never
    # learn its statistics and dropout never drop.
    segmenter.module.train()
    try:
        trainer.fit(Learner(segmenter, settings), batches, images)
    except torch.OutOfMemoryError as error:
        raise UserError("The GPU's memory is too small for this; lower the batch size or the crop.") from error


@contextlib.contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Seeds every generator; restores their state and the flags that Lightning sets for a deterministic run."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        with isolate_rng():
            lightning.seed_everything(seed, workers=True, verbose=False)
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences Lightning's tips and its advice on workers and batch sizes, while it runs and no longer."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
