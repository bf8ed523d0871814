"""The same work for many images, in this process or spread over Dask workers: one that fails stops no other."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import UserError, is_out_of_memory
from ..segmenter import Segmenter
from .cluster import WorkerDiedError, WorkerNetwork, run_on_workers

if TYPE_CHECKING:
    from distributed import Client

Result = TypeVar("Result")

Advance = Callable[[int, int], object]
"""Called with what is done of one image's work, and the total."""
ImageWork = Callable[[Segmenter, Path, Advance | None], Result]
"""What is done with an image. For Dask it must be picklable; it reads the image itself and writes what is large."""

_OUT_OF_MEMORY = "Memory ran out; take a smaller image, or crop it."
_WORKER_DIED = "The Dask worker died more than once at this image, most often because its memory ran out."


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What came of one image.

    Attributes:
        path: The image's file.
        result: What the work gave; None where it failed.
        failure: Why it failed, in one sentence; empty where it did not.
    """

    path: Path
    result: Result | None
    failure: str = ""


def each_image(
    segmenter: Segmenter,
    paths: Sequence[Path],
    work: ImageWork[Result],
    scheduler: "str | Client | None" = None,
    advance: Advance | None = None,
) -> Iterator[Outcome[Result]]:
    """Does the work for each image; outcomes come as they are finished.

    On Dask workers the network is shipped once, and images and results lie on a disk that every worker sees.

    Args:
        segmenter: The network.
        paths: The images' files.
        work: Called with the segmenter, a path and `advance`.
        scheduler: Address of a Dask scheduler such as "tcp://host:8786", or a Dask client; None works in this process
            without Dask, in the order of the paths.
        advance: Passed to the work in this process; workers get None.

    Raises:
        UserError: The scheduler does not answer. What goes wrong with an image is in its outcome.
    """
    if scheduler is None:
        for path in paths:
            yield _outcome(work, segmenter, path, advance)
        return
    absolute = {path: (path.absolute(),) for path in paths}
    for path, result in run_on_workers(scheduler, segmenter, _Work(work), absolute):
        try:
            outcome = result()
        except WorkerDiedError:
            yield Outcome(path, None, _WORKER_DIED)
        else:
            yield Outcome(path, outcome.result, outcome.failure)


@dataclass(frozen=True)
class _Work(Generic[Result]):
    """The work for one image on a Dask worker."""

    work: ImageWork[Result]

    def __call__(self, network: WorkerNetwork, path: Path) -> Outcome[Result]:
        return _outcome(self.work, network.segmenter, path, None)


def _outcome(work: ImageWork[Result], segmenter: Segmenter, path: Path, advance: Advance | None) -> Outcome[Result]:
    try:
        return Outcome(path, work(segmenter, path, advance))
    except UserError as error:
        return Outcome(path, None, str(error))
    except OSError as error:
        return Outcome(path, None, f"{error.strerror or error}: {error.filename}." if error.filename else f"{error}.")
    except Exception as error:  # noqa: BLE001 - whatever a user's network does with one image, the others go on
        if is_out_of_memory(error):
            return Outcome(path, None, _OUT_OF_MEMORY)
        return Outcome(path, None, f"{type(error).__name__}: {' '.join(str(error).split())}")


def averages(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Of every column of numbers: the mean of those that are defined, how many are, and how many are not (NaN).

    A mean of nothing is None. Columns that not every row has are averaged over the rows that have them.
    """
    found = {}
    for name in columns(rows):
        values = [row[name] for row in rows if name in row]
        if not all(isinstance(value, int | float) for value in values):
            continue
        defined = [float(value) for value in values if math.isfinite(value)]
        mean = math.fsum(defined) / len(defined) if defined else None
        found[name] = {"mean": mean, "images": len(defined), "undefined": len(values) - len(defined)}
    return found


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of all rows, each once, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def csv_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A table with a line of titles, as the bytes of a CSV file; what is missing or not defined (NaN) is empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns(rows), restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({name: "" if defined(value) is None else value for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def defined(value: Any) -> Any:
    """The value for a JSON file, which has no NaN: None in its place."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """An object as the bytes of a JSON file."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
