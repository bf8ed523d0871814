"""The networks of training runs on this machine, in a module that imports nothing slow."""

from pathlib import Path

from core.training.runs import LIVE, Run, runs
from widgets.shared.browser import browser_token
from widgets.shared.kept_files import sets_folder_of
from widgets.shared.store_folder import DEFAULT_FOLDER


def training_folder() -> Path:
    """The folder of the training runs."""
    return DEFAULT_FOLDER / "training"


def visible_runs() -> list[Run]:
    """The runs on this machine, the newest first, but those on data that another browser uploaded."""
    own = sets_folder_of(browser_token()).resolve()
    return [
        run for run in runs(training_folder())
        if not any(place.is_relative_to(own.parent) and not place.is_relative_to(own) for place in data_of(run))
    ]  # fmt: skip


def data_in_use() -> list[Path]:
    """The folders that runs train on now, or will."""
    return [place for run in runs(training_folder()) if run.status.state in LIVE for place in data_of(run)]


def data_of(run: Run) -> list[Path]:
    """The folders of a run's images, from where it was started."""
    stated = run.stated
    images = stated["settings"]["images"]
    places = [images] if isinstance(images, str) else images
    return [(Path(stated["directory"]) / place).resolve() for place in places]


def name_of_network(run: Run) -> str:
    """What a run's network is called in pickers: two runs may have one name."""
    return f"{run.title} ({run.folder.name[:15]})"


def trained_networks() -> dict[str, Path]:
    """The networks of the runs that have ended, by their names in pickers, the newest first.

    Each is the file of the best weights, or for a network of the user's own code the one beside it that loads them.
    """
    found: dict[str, Path] = {}
    for run in visible_runs():
        path = run.loader or run.checkpoint
        if run.status.state not in LIVE and path is not None:
            name = name_of_network(run)  # of runs that were started in the same second, the whole name of the folder
            found[f"{run.title} ({run.folder.name})" if name in found else name] = path
    return found
