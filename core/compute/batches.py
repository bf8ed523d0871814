"""The same work for many images, in this process or on Dask workers; the others go on where one fails."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import sentence_for_users
from ..segmenter import Segmenter
from .cluster import WorkerDiedError, WorkerNetwork, run_on_workers
from .progress import Progress

if TYPE_CHECKING:
    from distributed import Client

Result = TypeVar("Result")

ImageWork = Callable[[Segmenter, Path, Progress | None], Result]
"""Work on one image. For Dask it must be picklable; it reads the image itself and writes what is large."""

_WORKER_DIED = "The Dask worker died more than once at this image, most often because its memory ran out."


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """The outcome for one image.

    Attributes:
        path: File of the image.
        result: Result of the work; None where it failed.
        failure: Reason of the failure, in one sentence; empty where it succeeded.
    """

    path: Path
    result: Result | None
    failure: str = ""


def each_image(
    segmenter: Segmenter,
    paths: Sequence[Path],
    work: ImageWork[Result],
    scheduler: "str | Client | None" = None,
    progress: Progress | None = None,
) -> Iterator[Outcome[Result]]:
    """Does the work for each image and yields the outcomes as they are finished.

    On Dask workers the network is shipped once, and images and results lie on a disk that every worker sees.

    Args:
        segmenter: The network.
        paths: The images' files.
        work: Called with the segmenter, a path and `progress`.
        scheduler: Address of a Dask scheduler such as "tcp://host:8786", or a Dask client; None works in this process
            without Dask, in the order of the paths.
        progress: Passed to the work in this process; workers get None.

    Raises:
        UserError: The scheduler does not answer. The error of an image is in its outcome.
    """
    if scheduler is None:
        for path in paths:
            yield _outcome(work, segmenter, path, progress)
        return
    absolute = {path: (path.absolute(),) for path in paths}
    for path, result in run_on_workers(scheduler, segmenter, partial(_outcome_on_worker, work), absolute):
        try:
            outcome = replace(result(), path=path)
        except WorkerDiedError:
            outcome = Outcome(path, None, _WORKER_DIED)
        yield outcome


def _outcome_on_worker(work: ImageWork[Result], network: WorkerNetwork, path: Path) -> Outcome[Result]:
    return _outcome(work, network.segmenter, path, None)


def _outcome(work: ImageWork[Result], segmenter: Segmenter, path: Path, progress: Progress | None) -> Outcome[Result]:
    try:
        return Outcome(path, work(segmenter, path, progress))
    except Exception as error:  # noqa: BLE001 - whatever a user's network does with one image, the others go on
        sentence = sentence_for_users(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Outcome(path, None, sentence)
