"""The last state of a run on disk: one that is killed goes on to the weights that it would have had."""

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..io.files import write_atomically
from .own_network import code_hash
from .record import EpochRecord
from .settings import TrainingSettings
from .training_data import TrainingData

STATE_FILE = "last_state.pt"


@dataclass(frozen=True)
class LastState:
    """A run between two epochs.

    Attributes:
        records: The epochs that are done.
        best_epoch: The one whose weights are kept, counted from 1.
        network: State dict of the module in training.
        optimizer: State of the optimiser.
        scheduler: State of the learning rate's schedule.
        stopping: State of the early stopping.
        random: States of torch's generators, by device; the order of the data and the augmentation follow from them.
    """

    records: tuple[EpochRecord, ...]
    best_epoch: int
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    stopping: Mapping[str, Any]
    random: Mapping[str, Any]

    def restore_random(self) -> None:
        """Draw on from where the run was."""
        torch.set_rng_state(self.random["cpu"])
        if self.random["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(list(self.random["cuda"]))


def random_states() -> dict[str, Any]:
    """The states of torch's generators, as `LastState.random`."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def can_resume(out: str | Path) -> bool:
    """Whether a run in this folder was stopped after an epoch."""
    return (Path(out) / STATE_FILE).is_file()


def write_state(out: Path, state: LastState, settings: TrainingSettings, data: TrainingData) -> None:
    """Write the state in place of the one before."""
    content = {name: getattr(state, name) for name in state.__dataclass_fields__}
    content |= {"records": [asdict(record) for record in state.records], "question": _question(settings, data)}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(out / STATE_FILE, buffer.getvalue())


def read_state(out: Path, settings: TrainingSettings, data: TrainingData) -> LastState:
    """The state of the run in a folder; nothing in it is executed.

    Raises:
        UserError: There is none, it is damaged, or it is of other settings or data; what differs is named.
    """
    file = out / STATE_FILE
    if not file.is_file():
        raise UserError(f"There is no run to resume in {out}: it has ended, or not finished an epoch; start it anew.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        # A state of an earlier version lacks the settings that came later, which had no effect then.
        before = TrainingSettings(images="").as_metadata() | json.loads(content.pop("question"))
        records = tuple(EpochRecord(**record) for record in content.pop("records"))
        state = LastState(records=records, **content)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"{file} is damaged, so the run cannot be resumed; delete it and start the run anew."
        ) from error
    now = json.loads(_question(settings, data))
    # An earlier version wrote down less of the data.
    changed = sorted(name for name in before if before[name] != now.get(name))
    if changed:
        raise UserError(
            f"The run in {out} was made with other {', '.join(name.replace('_', ' ') for name in changed)}; resume it "
            "with what it began with, or start a new run in another folder."
        )
    return state


def _question(settings: TrainingSettings, data: TrainingData) -> str:
    """What the weights follow from, as JSON: the settings, and the data as far as they are measured."""
    measured = {
        "training images": data.stems("training"), "validation images": data.stems("validation"),
        "test images": data.stems("test"), "intensities of the training images": [*data.mean, *data.std],
        "masks of the training images": list(data.class_counts),
        "code of the network": code_hash(settings.architecture),
    }  # fmt: skip
    return json.dumps(settings.as_metadata() | measured)
