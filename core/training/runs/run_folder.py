"""Training runs on disk: one folder per run, under a common folder."""

import csv
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
from filelock import FileLock

from ...errors import UserError
from ...io.files import write_atomically
from ..settings import TrainingSettings
from .previews import kept_epochs
from .queue import take_ticket
from .status import Status, has_status, read_status, write_status
from .stored_settings import restored, stored

LIVE = ("queued", "running")
"""States in which the process of a run is there."""

_SETTINGS, _PROCESS, _STOP, _LOCK = "settings.json", "process.json", "stop", ".lock"
_LONGEST_NAME = 80
_SAME_START = 10.0
"""Seconds by which the start of a process may seem to move when the clock is set."""


@dataclass(frozen=True)
class Run:
    """A training run in a folder of its own.

    Attributes:
        folder: Holds `settings.json`, `status.json`, `log.txt` and what `core.training.train` writes; its name
            identifies the run and sorts by the time of the start.
    """

    folder: Path

    @cached_property
    def stated(self) -> dict[str, Any]:
        """What the run was started with: "name", "device", "workers", "directory", and "settings" as JSON values."""
        stated: dict[str, Any] = json.loads((self.folder / _SETTINGS).read_bytes())
        return stated

    @property
    def name(self) -> str:
        """Name of the network."""
        return str(self.stated["name"])

    @property
    def title(self) -> str:
        """What it is called on screen: its name, until `rename` gives it another."""
        return str(self.stated.get("title") or self.name)

    @property
    def settings(self) -> TrainingSettings:
        """The settings; imports torch."""
        return restored(self.stated["settings"])

    @property
    def status(self) -> Status:
        """State and progress."""
        status = read_status(self.folder)
        if status.state in LIVE and self._process() is None:
            status = read_status(self.folder)  # it may have ended in order in between
            if status.state in LIVE:
                status = replace(status, state="stopped" if self.is_asked_to_stop else "lost", seconds_left=None)
        return status

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether `stop` was called."""
        return (self.folder / _STOP).exists()

    @property
    def checkpoint(self) -> Path | None:
        """The weights of the best epoch so far; None before the first epoch ends."""
        path = self.folder / f"{self.name}.safetensors"
        return path if path.is_file() else None

    @property
    def loader(self) -> Path | None:
        """For a network of the user's own code, the file whose function `network` builds and loads it; else None."""
        path = self.folder / f"{self.name}.py"
        return path if path.is_file() else None

    @property
    def log_file(self) -> Path:
        """What the process printed."""
        return self.folder / "log.txt"

    @property
    def preview_epochs(self) -> list[int]:
        """The epochs that `read_previews` has predictions of."""
        return kept_epochs(self.folder)

    def metrics(self) -> list[dict[str, float]]:
        """One row per epoch, the columns of `EpochRecord`; NaN where a value is not defined."""
        try:
            text = (self.folder / "metrics.csv").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        rows = csv.DictReader(text.splitlines())
        return [{name: float(value or "nan") for name, value in row.items()} for row in rows]

    def log(self, most: int = 20_000) -> str:
        """The end of the log file, `most` bytes of it."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - most))
                return file.read().decode(errors="replace")
        except FileNotFoundError:  # it is being deleted
            return ""

    def stop(self, patience: float = 10.0) -> None:
        """Ask the run to end after its current step; kill it after `patience` seconds. The best weights are kept.

        Returns at once. A run that is not live stays as it is.
        """
        if self.status.state in LIVE:
            write_atomically(self.folder / _STOP, b"")
            threading.Thread(target=self._kill_after, args=(patience,), daemon=True).start()

    def resume(self) -> None:
        """Go on with a run that was stopped, failed or got lost, at the end of the queue.

        Raises:
            UserError: A run that is live or finished, or a process that cannot be started.
        """
        with _changing(self.folder.parent):
            status = self.status
            if status.state in LIVE:
                raise UserError(f"The run {self.name} is still {status.state}; there is nothing to resume.")
            if status.state == "finished":
                raise UserError(f"The run {self.name} has finished; start a new one with more epochs.")
            (self.folder / _STOP).unlink(missing_ok=True)
            _launch(self, replace(status, started=None, ended=None, resumed=status.resumed + 1, reason=""))

    def rename(self, title: str) -> None:
        """Call it otherwise on screen; its files keep their names.

        Raises:
            UserError: No name that can be shown.
        """
        title = title.strip()
        if not title or not title.isprintable() or len(title) > _LONGEST_NAME:
            raise UserError(f"A network needs a name of 1 to {_LONGEST_NAME} characters.")
        with _changing(self.folder.parent):
            content = json.dumps(self.stated | {"title": title}, indent=2)
            write_atomically(self.folder / _SETTINGS, content.encode())
        self.__dict__.pop("stated", None)

    def delete(self) -> None:
        """Delete the run with its weights.

        Raises:
            UserError: A run that is live.
        """
        with _changing(self.folder.parent):
            if self.status.state in LIVE:
                raise UserError(f"The run {self.name} is still {self.status.state}; stop it first.")
            shutil.rmtree(self.folder)

    def note_process(self, process: psutil.Process) -> None:
        """Remember the process that the state depends on."""
        content = {"pid": process.pid, "created": process.create_time()}
        write_atomically(self.folder / _PROCESS, json.dumps(content).encode())

    def _process(self) -> psutil.Process | None:
        """The process of the run, unless it has ended; another one that got its number is not taken for it."""
        try:
            noted = json.loads((self.folder / _PROCESS).read_bytes())
            process = psutil.Process(noted["pid"])
            same = abs(process.create_time() - noted["created"]) < _SAME_START
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _kill_after(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (process := self._process()) is not None and self.is_asked_to_stop:
            if time.monotonic() > deadline:
                _kill(process)
            time.sleep(0.1)


def start(settings: TrainingSettings, name: str, root: str | Path, *, device: str = "auto", workers: int = 0) -> Run:
    """Start a training run in a process of its own, which waits until no other run of this user is live.

    Args:
        settings: Settings of the run. Relative paths are read from the current directory.
        name: Name of the network and of its checkpoint.
        root: Folder of the runs; made if it is not there.
        device: As for `core.training.train`.
        workers: As for `core.training.train`.

    Raises:
        UserError: A name that is no file name, settings that JSON cannot hold, a folder that cannot be written, or a
            process that cannot be started.
    """
    if (
        not name
        or Path(name).name != name
        or not name.isprintable()
        or name.startswith(".")
        or len(name) > _LONGEST_NAME
    ):
        raise UserError(
            f'"{name}" cannot be the name of a network; use up to {_LONGEST_NAME} characters, without a folder and '
            "without a dot in front."
        )
    directory = str(Path.cwd())
    stated = {"name": name, "device": device, "workers": workers, "directory": directory, "settings": stored(settings)}
    root = Path(root).absolute()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _changing(root):
            run = Run(root / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}")
            run.folder.mkdir()
            write_atomically(run.folder / _SETTINGS, json.dumps(stated, indent=2).encode())
            _launch(run, Status("queued", time.time(), epochs=settings.epochs))
    except OSError as error:
        raise UserError(f"The run cannot be kept in {root} ({error.strerror}); choose another folder.") from error
    return run


def runs(root: str | Path) -> list[Run]:
    """All runs in a folder, the newest first; what is damaged, or being deleted, is left out."""
    found = [Run(folder) for folder in sorted(Path(root).absolute().glob("[0-9]*"), reverse=True) if has_status(folder)]
    return [run for run in found if _is_stated(run)]


def _is_stated(run: Run) -> bool:
    try:
        return {"name", "device", "workers", "directory"} <= run.stated.keys() and "images" in run.stated["settings"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def find_run(root: str | Path, identifier: str) -> Run:
    """The run whose folder has this name.

    Raises:
        UserError: There is none.
    """
    for run in runs(root):
        if run.folder.name == identifier:
            return run
    raise UserError("This run is no longer there; choose another one.")


def _changing(root: Path) -> FileLock:
    """To be held while runs are started, resumed or deleted: two sessions may do so at once."""
    return FileLock(root / _LOCK)


def _launch(run: Run, status: Status) -> None:
    run.note_process(psutil.Process())  # that of the caller, until there is one of its own
    write_status(run.folder, replace(status, state="queued", queued=time.time()))
    take_ticket(run.folder)
    package = __package__ or ""
    places = [str(Path(__file__).parents[package.count(".") + 1]), os.environ.get("PYTHONPATH", "")]
    try:
        with run.log_file.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - this program itself
                [sys.executable, "-m", package, str(run.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=run.stated["directory"],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))},
                start_new_session=True,
            )
    except OSError as error:
        reason = f"The process could not be started ({error.strerror}: {error.filename})."
        write_status(run.folder, replace(status, state="failed", reason=reason))
        raise UserError(reason) from error
    run.note_process(psutil.Process(process.pid))
    threading.Thread(target=process.wait, daemon=True).start()  # an ended process stays in the system's list otherwise


def _kill(process: psutil.Process) -> None:
    """Kill a process and those that it started, which read images for it."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in family:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
