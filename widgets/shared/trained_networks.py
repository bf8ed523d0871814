"""The networks of training runs on this machine, in a module that imports nothing slow."""

from pathlib import Path

from core.training.runs import LIVE, Run, runs
from widgets.shared.store_folder import DEFAULT_FOLDER


def training_folder() -> Path:
    """The folder of the training runs."""
    return DEFAULT_FOLDER / "training"


def name_of_network(run: Run) -> str:
    """What a run's network is called in pickers: two runs may have one name."""
    return f"{run.title} ({run.folder.name[:15]})"


def trained_networks() -> dict[str, Path]:
    """The networks of the runs that have ended, by their names in pickers, the newest first.

    Each is the file of the best weights, or for a network of the user's own code the one beside it that loads them.
    """
    found = {
        name_of_network(run): run.loader or run.checkpoint
        for run in runs(training_folder())
        if run.status.state not in LIVE
    }
    return {name: path for name, path in found.items() if path is not None}
