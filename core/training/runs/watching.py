"""Watching a training from within: its progress, its predictions, and whether it is to stop."""

from typing import TYPE_CHECKING, Any

import lightning

from .preview_writer import PreviewWriter
from .run_folder import Run

if TYPE_CHECKING:
    from ..record import EpochRecord
    from .process import Progress


class Watcher(lightning.Callback):
    """Writes status and previews of a run, and ends it between two steps when it is asked to stop."""

    def __init__(self, run: Run, progress: "Progress") -> None:
        self._run, self._progress = run, progress
        self._previews: PreviewWriter | None = None

    def on_train_start(self, trainer: lightning.Trainer, learner: Any) -> None:
        """The first step comes next."""
        epochs = self._run.settings.epochs
        assert trainer.max_epochs is not None  # noqa: S101 - it is given
        assert trainer.val_dataloaders is not None  # noqa: S101 - as above
        pairs = trainer.val_dataloaders.dataset.pairs
        self._previews = PreviewWriter(self._run.folder, learner.segmenter, pairs, epochs)
        self._progress.begin_epochs(epochs - trainer.max_epochs, int(trainer.num_training_batches))

    def on_train_batch_start(self, *_: object) -> None:
        """Between two steps."""
        self._progress.stop_if_asked()

    def on_train_batch_end(self, _trainer: lightning.Trainer, learner: Any, *_: object) -> None:
        """After a step."""
        self._progress.on_step(learner.learning_rate)

    def on_validation_batch_start(self, *_: object) -> None:
        """Between two images."""
        self._progress.stop_if_asked()

    def on_epoch(self, record: "EpochRecord") -> None:
        """After an epoch, the weights of which are written."""
        self._progress.on_epoch(record)
        if self._previews is not None:
            self._previews.write(record.epoch)
