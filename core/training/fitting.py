"""Training with Lightning: the loop, what it writes every epoch, and keeping it quiet and repeatable."""

import contextlib
import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from .processes import Share, SharedBatches, ending_others, process_rank
from .record import EpochRecord, OnEpoch
from .resuming import LastState, random_states, write_state
from .saved_epochs import epoch_checkpoint, last_checkpoint
from .settings import TrainingSettings
from .training_data import LabelledImages, TrainingData


class EpochLog(lightning.Callback):
    """Writes one row per epoch, the weights of the last and of the best epoch, and others to keep.

    Args:
        checkpoint: File of the best weights; the last are `<name>_last.safetensors` beside it, those kept in `epochs/`.
        info: Their metadata.
        metrics: File of the rows.
        on_epoch: Called after each epoch.
        keep_every: The weights of the first epoch and of every so many are kept; 0: none.
        state: The run so far, if it is taken up again.
    """

    def __init__(
        self,
        checkpoint: Path,
        info: CheckpointInfo,
        metrics: Path,
        on_epoch: OnEpoch | None,
        *,
        keep_every: int = 0,
        state: LastState | None = None,
    ) -> None:
        self.checkpoint, self.metrics, self.keep_every = checkpoint, metrics, keep_every
        self.info, self.on_epoch = info, on_epoch
        self.records: list[EpochRecord] = [] if state is None else list(state.records)
        self.best_epoch = 0 if state is None else state.best_epoch
        self._epoch_start = 0.0

    @property
    def best(self) -> EpochRecord:
        """The row of the epoch whose weights were kept."""
        return self.records[self.best_epoch - 1]

    def on_train_epoch_start(self, *_: object) -> None:
        """Start the clock."""
        self._epoch_start = time.perf_counter()

    def on_train_epoch_end(self, _trainer: lightning.Trainer, learner: Learner) -> None:  # type: ignore[override]
        """Write the row, and the weights if they are the best.

        Raises:
            UserError: A loss that is no longer finite.
        """
        record = EpochRecord(
            epoch=len(self.records) + 1,
            **learner.take_epoch(),
            learning_rate=learner.learning_rate,
            seconds=time.perf_counter() - self._epoch_start,
        )
        if not math.isfinite(record.train_loss + record.penalty + record.validation_loss):
            raise UserError(f"The loss is no longer finite in epoch {record.epoch}; lower the learning rate.")
        self.records.append(record)
        is_best = not self.best_epoch or record.validation_iou > self.best.validation_iou
        if is_best:
            self.best_epoch = record.epoch
        if process_rank():  # of several processes, which know the same, the first one writes
            return
        write_atomically(self.metrics, csv_bytes([kept.as_row() for kept in self.records]))
        if is_best:
            save_checkpoint(self.checkpoint, learner.network, self.info)
        info = replace(self.info, training=self.info.training | {"epoch": record.epoch})
        save_checkpoint(last_checkpoint(self.checkpoint), learner.network, info)
        if self.keep_every and (record.epoch == 1 or record.epoch % self.keep_every == 0):
            save_checkpoint(epoch_checkpoint(self.checkpoint, record.epoch), learner.network, info)
        if self.on_epoch is not None:
            self.on_epoch(record)


class StateKeeper(lightning.Callback):
    """Writes the state of the run between two epochs, when nothing of the next one has been drawn yet."""

    def __init__(self, settings: TrainingSettings, data: TrainingData, log: EpochLog, stopping: EarlyStopping) -> None:
        self._asked, self._log, self._stopping = (settings, data), log, stopping

    def on_train_epoch_start(self, trainer: lightning.Trainer, learner: Learner) -> None:  # type: ignore[override]
        """Write it, but before the first epoch of a run."""
        if trainer.current_epoch == 0 or process_rank():
            return
        scheduler: Any = trainer.lr_scheduler_configs[0].scheduler
        state = LastState(
            tuple(self._log.records), self._log.best_epoch, learner.network.state_dict(),
            trainer.optimizers[0].state_dict(), scheduler.state_dict(), self._stopping.state_dict(), random_states(),
        )  # fmt: skip
        write_state(self._log.checkpoint.parent, state, *self._asked)


def fit(
    segmenter: Segmenter,
    settings: TrainingSettings,
    data: TrainingData,
    log: EpochLog,
    *,
    workers: int,
    progress_bar: bool,
    state: LastState | None = None,
    callbacks: Sequence[lightning.Callback] = (),
) -> None:
    """Train until the last epoch, or until the validation IoU has not improved for `patience` epochs.

    With a state, from there on. Of several processes that train together, all but the first end here.

    Args:
        segmenter: Network to train.
        settings: Settings of the run.
        data: Its data.
        log: What is written after each epoch.
        workers: Processes that read images.
        progress_bar: Whether to show Lightning's.
        state: The run so far.
        callbacks: Further ones for Lightning's trainer.

    Raises:
        UserError: A loss that is no longer finite, a precision that the device does not have, or a GPU whose memory is
            too small.
    """
    if settings.precision == "16-mixed" and segmenter.device.type == "cpu":
        raise UserError("16-mixed needs a GPU; train with bf16-mixed or 32-true.")
    device, several = segmenter.device, settings.devices > 1
    crops = data.training_crops(settings)
    share = Share(len(crops), settings, lambda: len(log.records)) if several else None
    batches = training_batches(crops, settings.batch_size, workers, share)
    images: DataLoader = DataLoader(LabelledImages(data.pairs("validation")), batch_size=1)
    stopping = EarlyStopping("validation_iou", mode="max", patience=settings.patience)
    own = [log, StateKeeper(settings, data, log, stopping), stopping]
    learner_state = None
    if state is not None:
        segmenter.module.load_state_dict(state.network)
        stopping.load_state_dict(dict(state.stopping))
        learner_state = {"optimizer": state.optimizer, "scheduler": state.scheduler}
    learner = Learner(segmenter, settings, len(batches) * settings.epochs, learner_state, data.class_weights)
    trainer = lightning.Trainer(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" and not several else settings.devices,
        strategy=settings.strategy if several else "auto",
        sync_batchnorm=several and device.type == "cuda",
        use_distributed_sampler=False,
        max_epochs=settings.epochs - len(log.records),
        precision=settings.precision,
        deterministic=True,
        callbacks=[*own, *callbacks, *([TQDMProgressBar()] if progress_bar else [])],
        enable_progress_bar=progress_bar,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    # A segmenter's module is in eval mode, and Lightning leaves the mode as it is: batch normalisation would never
    # learn its statistics and dropout never drop.
    segmenter.module.train()
    if state is not None:
        state.restore_random()
    try:
        with ending_others(trainer):
            trainer.fit(learner, batches, images)
        if process_rank():  # the first process goes on alone
            sys.exit()
    except torch.OutOfMemoryError as error:
        raise UserError("The GPU's memory is too small for this; lower the batch size or the crop.") from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            "The last batch of an epoch holds a single crop, too few for this network's batch normalisation; choose "
            "another batch size, or a larger crop."
        ) from error


def training_batches(
    crops: LabelledImages, batch_size: int, workers: int = 0, share: Share | None = None
) -> "DataLoader[Any]":
    """The batches of an epoch, in a random order; of the crops of one process, with a `share`.

    A last batch of one crop would give batch normalisation poor statistics, so a short one is left out where that costs
    little: the order changes every epoch.
    """
    # Processes that read images begin anew in each epoch: their draws then follow from the state between two epochs,
    # which a run that is taken up again has too.
    if share is None:
        return DataLoader(
            crops, batch_size, shuffle=True, drop_last=len(crops) >= 4 * batch_size, num_workers=workers
        )  # fmt: skip
    return SharedBatches(crops, share, batch_size, workers)


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
