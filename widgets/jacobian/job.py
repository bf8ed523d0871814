"""Running a Jacobian in the background: what is done is kept on disk, and a run that was stopped is resumed."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import streamlit as st

from core.errors import UserError
from core.jacobian import Jacobian, JacobianRequest, Progress, jacobian
from core.segmenter import Segmenter
from core.target import PREDICTED
from widgets.shared.results import Cancelled, Claim, Report, ResultStore
from widgets.shared.running_work import tab_claims
from widgets.shared.slow_work import forget, request
from widgets.shared.sources import PickedImage

State = Literal["waiting", "preparing", "running", "cancelling", "cancelled", "finished", "failed"]

ACTIVE: tuple[State, ...] = ("waiting", "preparing", "running", "cancelling")
SUMMARIES = "summaries"
_MOST_JOBS = 16


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
        names = self.segmenter.name, self.image.stem, *self._classes
        words = "_".join(re.sub(r"[^\w.-]+", "-", name)[:40] for name in names)
        hashes = f"{self.segmenter.weights_hash[:8]}{self.image.hash[:8]}"
        storage = request.dtype if request.keep_rows else SUMMARIES
        return self.folder / f"{words}_{request.space}_stride{request.stride}_{storage}_{hashes}.zarr"

    @property
    def label(self) -> str:
        """What is computed, in words."""
        return f"Jacobian of {self.image.stem}, {' '.join(self._classes)}: passes"

    @property
    def _classes(self) -> list[str]:
        request, classes = self.request, self.segmenter.class_names
        explained = "predicted" if request.class_index == PREDICTED else classes[request.class_index]
        return [explained] if request.against is None else [explained, "minus", classes[request.against]]

    def compute(self, report: Report) -> Jacobian:
        """Run it, or resume it."""

        def show(progress: Progress) -> None:
            report.show(progress)
            report(progress.passes, progress.total)

        def is_cancelled() -> bool:
            report.ensure_wanted()
            return False

        try:
            return jacobian(
                self.segmenter, self.image.values, out=self.path, progress=show, cancel=is_cancelled,
                **asdict(self.request),
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f"{self.path} could not be written ({error.strerror or error}); choose another folder."
            ) from error


@dataclass(frozen=True, eq=False)
class Job:
    """This browser tab's share in a run.

    Attributes:
        place: Its place among the tab's requests.
        claim: Its claim on the result.
    """

    place: str
    claim: Claim[Jacobian]

    def cancel(self) -> None:
        """Stop soon, unless another tab wants it too; what is computed by then is kept."""
        self.claim.cancel()

    @property
    def state(self) -> State:
        """The state of the run."""
        work = self.claim.computation
        if not self.claim.is_cancelled and work.done():
            error = work.exception()
            return "finished" if error is None else "cancelled" if isinstance(error, Cancelled) else "failed"
        if self.claim.is_cancelled:
            return "cancelled" if work.done() or work.claims else "cancelling"
        if not work.has_begun:
            return "waiting"
        return "preparing" if self.progress is None else "running"

    @property
    def progress(self) -> Progress | None:
        """The last report; None before the first."""
        return self.claim.computation.part

    @property
    def jacobian(self) -> Jacobian | None:
        """The Jacobian so far; None before the first report."""
        if self.state == "finished":
            return self.claim.computation.result()
        return self.progress.jacobian if self.progress is not None else None

    @property
    def shows_something(self) -> bool:
        """Whether any row is finished, so that there is a map to look at."""
        found = self.jacobian
        return found is not None and found.fraction > 0

    @property
    def error(self) -> UserError | None:
        """Why it failed; None if it did not."""
        if self.state != "failed":
            return None
        error = self.claim.computation.exception()
        if isinstance(error, UserError):
            return error
        return UserError(f"The run stopped: {type(error).__name__}: {error}. What is done is kept; start it again.")


def start(run: Run) -> None:
    """Start or resume a run, or take part in one that is under way."""
    claim = tab_claims().get(_place(run))
    if claim is not None and not claim.is_under_way:
        forget(_place(run))
    if not jobs().is_under_way(run.path):
        jobs().discard(run.path)  # its store may have been deleted since
    request(_place(run), run.path, run.compute, run.label, jobs())


def find(run: Run) -> Job | None:
    """What this tab has started, or takes part in because it is under way: the page may have been reloaded."""
    if _place(run) not in tab_claims() and jobs().is_under_way(run.path):
        start(run)
    claim = tab_claims().get(_place(run))
    return None if claim is None else Job(_place(run), claim)


def _place(run: Run) -> str:
    return f"jacobian-{run.path.name}"


@st.cache_resource
def jobs() -> ResultStore:
    """The runs of this server by their store, one at a time: two would each take twice as long."""
    return ResultStore(_MOST_JOBS, lambda _: 1, max_workers=1)
