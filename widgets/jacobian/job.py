"""Running a Jacobian in the background: it survives reruns, page changes and closed tabs, and can be cancelled."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import streamlit as st

from core.errors import UserError
from core.jacobian import Jacobian, JacobianRequest, Progress, jacobian
from core.segmenter import Segmenter
from core.target import PREDICTED
from widgets.shared.results import DaemonExecutor
from widgets.shared.sources import PickedImage

State = Literal["waiting", "preparing", "running", "cancelling", "cancelled", "finished", "failed"]

ACTIVE: tuple[State, ...] = ("waiting", "preparing", "running", "cancelling")
SUMMARIES = "summaries"
_MOST_JOBS = 16
_EXECUTOR = DaemonExecutor(1)
"""One run at a time: two would each take twice as long, and the first picture with them."""


@dataclass(frozen=True, eq=False)
class Run:
    """Which Jacobian is computed, and the folder of stores in which it is kept."""

    segmenter: Segmenter
    image: PickedImage
    request: JacobianRequest
    folder: Path

    @property
    def path(self) -> Path:
        """The store: a name to read, and enough of the hashes to tell models and images apart."""
        request = self.request
        classes = self.segmenter.class_names
        explained = "predicted" if request.class_index == PREDICTED else classes[request.class_index]
        names = [self.segmenter.name, Path(self.image.name).stem, explained]
        if request.against is not None:
            names += ["minus", classes[request.against]]
        words = "_".join(re.sub(r"[^\w.-]+", "-", name)[:40] for name in names)
        hashes = f"{self.segmenter.weights_hash[:8]}{self.image.hash[:8]}"
        storage = request.dtype if request.keep_rows else SUMMARIES
        return self.folder / f"{words}_{request.space}_stride{request.stride}_{storage}_{hashes}.zarr"

    def compute(self, progress: Callable[[Progress], None], cancel: Callable[[], bool]) -> Jacobian:
        """Run it, or resume it."""
        try:
            return jacobian(
                self.segmenter, self.image.values, out=self.path, progress=progress, cancel=cancel,
                **asdict(self.request),
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f"{self.path} could not be written ({error.strerror or error}); choose another folder for the stores."
            ) from error


class Job:
    """A run in the background.

    Attributes:
        run: What is computed.
        progress: The last report; None before the first.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.progress: Progress | None = None
        self._asked = time.monotonic()
        self._cancelled = threading.Event()
        self._future = _EXECUTOR.submit(run.compute, self._note, self._cancelled.is_set)

    def cancel(self) -> None:
        """Stop soon; what is computed by then is kept."""
        self._cancelled.set()
        self._future.cancel()

    @property
    def state(self) -> State:
        """The state of the run."""
        if self._future.done():
            return self._end()
        if self._cancelled.is_set():
            return "cancelling"
        if not self._future.running():
            return "waiting"
        return "preparing" if self.progress is None else "running"

    @property
    def seconds(self) -> float:
        """Seconds since it was requested."""
        return time.monotonic() - self._asked

    @property
    def jacobian(self) -> Jacobian | None:
        """The Jacobian so far; None before the first report."""
        if self.state == "finished":
            return self._future.result()
        return self.progress.jacobian if self.progress is not None else None

    @property
    def shows_something(self) -> bool:
        """Whether any row is finished, so that there is a map to look at."""
        found = self.jacobian
        return found is not None and found.fraction > 0

    @property
    def error(self) -> UserError | None:
        """Why it failed; None if it did not."""
        error = self._future.exception() if self._future.done() and not self._future.cancelled() else None
        if error is None or isinstance(error, UserError):
            return error
        return UserError(f"The run stopped: {type(error).__name__}: {error}. What is done is kept; start it again.")

    def _end(self) -> State:
        if self.error is not None:
            return "failed"
        return "finished" if not self._future.cancelled() and self._future.result().complete else "cancelled"

    def _note(self, progress: Progress) -> None:
        self.progress = progress


class Jobs:
    """All jobs of this server by their store. Safe to share between threads."""

    def __init__(self) -> None:
        self._jobs: dict[Path, Job] = {}
        self._lock = threading.Lock()

    def start(self, run: Run) -> None:
        """Start or resume a run; one that is under way is left alone."""
        with self._lock:
            job = self._jobs.get(run.path)
            if job is None or job.state not in ACTIVE:
                ended = [path for path, other in self._jobs.items() if other.state not in ACTIVE]
                for path in ended[: max(0, len(self._jobs) - _MOST_JOBS + 1)]:
                    del self._jobs[path]
                self._jobs[run.path] = Job(run)

    def find(self, path: Path) -> Job | None:
        """The job that is or was writing this store."""
        with self._lock:
            return self._jobs.get(path)

    def active(self) -> list[Job]:
        """Jobs under way."""
        with self._lock:
            return [job for job in self._jobs.values() if job.state in ACTIVE]


@st.cache_resource
def jobs() -> Jobs:
    """The jobs of this server."""
    return Jobs()
