"""What the process of a training run does; torch is imported when its turn has come."""

import os
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # it ships no types

from ...errors import sentence_for_users
from ..stopping import TrainingStopped
from .queue import turn
from .run_folder import LIVE, Run
from .status import State, Status, read_status, write_status

if TYPE_CHECKING:
    from ..record import EpochRecord

_SECONDS = 0.5
"""Between two writings of the status within an epoch."""


class Progress:
    """Writes the status of a run while it trains, and ends it when it is asked to stop."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.status = read_status(run.folder)
        self._epoch_start = self._written = 0.0
        self._epoch_seconds: list[float] = []
        self._best: dict[str, float | None] = {}

    def begin(self) -> None:
        """The turn of the run has come."""
        self._write(state="running", started=time.time())

    def begin_epochs(self, done: int, steps: int) -> None:
        """Training starts after as many epochs as are `done`; one has as many `steps`."""
        self._epoch_start = time.perf_counter()
        self._best = self.status.best if done else {}
        self._write(epoch=done, step=0, steps=steps)

    def on_step(self, rate: float) -> None:
        """After each step of the optimiser, with the learning rate that it took."""
        step, now = self.status.step + 1, time.perf_counter()
        per_step = (now - self._epoch_start) / step
        self.status = replace(self.status, step=step, seconds_per_step=per_step, learning_rate=rate)
        if now - self._written > _SECONDS:
            self._write()

    def on_epoch(self, record: "EpochRecord") -> None:
        """After each epoch."""
        last = asdict(record)
        if not self._best or record.validation_iou > (self._best["validation_iou"] or 0):
            self._best = last
        self._epoch_seconds.append(record.seconds)
        self._epoch_start = time.perf_counter()
        self._write(epoch=record.epoch, step=0, last=last, best=self._best)

    def stop_if_asked(self) -> None:
        """Raise `TrainingStopped` after `Run.stop`."""
        if self.run.is_asked_to_stop:
            raise TrainingStopped

    def end(self, state: State, reason: str = "") -> None:
        """Write how it ended, as the last thing that is written to the folder."""
        self._write(state=state, ended=time.time(), reason=reason)

    def _write(self, **changes: Any) -> None:
        self._written = time.perf_counter()
        status = replace(self.status, updated=time.time(), **changes)
        self.status = replace(status, seconds_left=self._seconds_left(status))
        write_status(self.run.folder, self.status)

    def _seconds_left(self, status: Status) -> float | None:
        if status.state != "running" or (not self._epoch_seconds and not status.step):
            return None
        per_epoch = (status.seconds_per_step or 0) * max(status.steps, status.step)
        if self._epoch_seconds:
            per_epoch = sum(self._epoch_seconds) / len(self._epoch_seconds)
        elapsed = time.perf_counter() - self._epoch_start
        return max(0.0, per_epoch * (status.epochs - status.epoch) - elapsed)


def work(folder: Path) -> None:
    """Wait for the turn of the run in a folder, train, and write how it ended."""
    run = Run(folder)
    if os.environ.get("LOCAL_RANK", "0") != "0":  # a further process of a run on several devices
        _train(run, None)
        return
    run.note_process(psutil.Process())
    progress = Progress(run)
    try:
        with turn(folder, lambda other: Run(other).status.state in LIVE, progress.stop_if_asked):
            progress.begin()
            _train(run, progress)
    except TrainingStopped:
        progress.end("stopped")
    except Exception as error:  # noqa: BLE001 - the log has it, and the status its sentence
        traceback.print_exc()
        progress.end("failed", sentence_for_users(error) or _last_line(error, run))
    else:
        progress.end("stopped" if run.is_asked_to_stop else "finished")


def _train(run: Run, progress: Progress | None) -> None:
    from ..resuming import can_resume  # noqa: PLC0415 - takes seconds to import
    from ..run import train  # noqa: PLC0415 - as above
    from .watching import Watcher  # noqa: PLC0415 - as above

    watcher = None if progress is None else Watcher(run, progress)
    train(
        run.settings, run.folder, run.name, device=run.stated["device"], workers=run.stated["workers"],
        progress_bar=False, on_epoch=None if watcher is None else watcher.on_epoch,
        resume=can_resume(run.folder), callbacks=[] if watcher is None else [watcher],
        on_warning=None if watcher is None else print,
    )  # fmt: skip


def _last_line(error: Exception, run: Run) -> str:
    line = traceback.format_exception_only(error)[-1].strip()
    return f"{line.removesuffix('.')}. The log has more: {run.log_file}."
