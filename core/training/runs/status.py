"""What is known about a training run, as the file `status.json` holds it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ...io.files import write_atomically
from ...io.tables import json_bytes

State = Literal["queued", "running", "finished", "stopped", "failed", "lost"]

_FILE = "status.json"


@dataclass(frozen=True)
class Status:
    """State and progress of a run.

    Attributes:
        state: "lost" means that the process is gone without having said why.
        queued: When it was started or resumed last, in seconds since 1970; so are `started`, `updated` and `ended`.
        started: When the training began, after the wait for other runs.
        updated: When the process wrote this.
        ended: When the process ended in order.
        resumed: How many times it was resumed.
        epoch: Epochs done.
        epochs: Largest number of epochs.
        step: Optimiser steps done in the current epoch.
        steps: Steps per epoch.
        seconds_per_step: Mean over the current epoch, or over the last one where it has just begun.
        seconds_left: Until the last epoch, if training does not stop early; without the scores of the test images.
        learning_rate: Of the last step.
        last: The last epoch's `EpochRecord` by name; empty before the first epoch ends. A value that is not finite is
            None.
        best: The same of the epoch whose weights are kept.
        reason: Why it failed, in one sentence.
    """

    state: State
    queued: float
    started: float | None = None
    updated: float | None = None
    ended: float | None = None
    resumed: int = 0
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    seconds_per_step: float | None = None
    seconds_left: float | None = None
    learning_rate: float | None = None
    last: dict[str, float | None] = field(default_factory=dict)
    best: dict[str, float | None] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise ValueError("This is no state of a run.")


def has_status(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return (folder / _FILE).is_file()


def write_status(folder: Path, status: Status) -> None:
    """Replace the status in the run's folder."""
    write_atomically(folder / _FILE, json_bytes(asdict(status)))


def read_status(folder: Path) -> Status:
    """The status as it was written last, whether or not the process is still there."""
    try:
        return Status(**json.loads((folder / _FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Status("failed", 0.0, reason="The state of this run cannot be read; delete the run.")
