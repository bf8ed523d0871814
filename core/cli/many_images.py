"""One job over many images: progress bars, a list of the images that failed, tables written however it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import typer

from ..compute.batches import ImageWork, each_image
from ..errors import UserError
from ..segmenter import Segmenter
from .options import progress_bars

Result = TypeVar("Result")


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """What came of the images, each dictionary in the order of the images.

    Attributes:
        results: Results by image.
        failures: One sentence by name of an image that failed.
    """

    results: dict[Path, Result]
    failures: dict[str, str]


def work_through(
    segmenter: Segmenter,
    paths: Sequence[Path],
    work: ImageWork[Result],
    write: Callable[[Finished[Result]], object],
    scheduler: str | None = None,
    *,
    name: Callable[[Path], str] = lambda path: path.stem,
    report: Callable[[Result], object] = lambda _: None,
    verb: str = "explained",
) -> Finished[Result]:
    """Does the work for each image; one that fails is listed, and the others go on.

    Args:
        segmenter: The network.
        paths: The images' files.
        work: What is done with an image, see `each_image`.
        write: Writes the tables; called once at the end, also where the work is stopped.
        scheduler: Address of a Dask scheduler; None works in this process.
        name: What an image is called in the list of failures.
        report: Called with each result as it comes.
        verb: What is done with images, for messages.

    Raises:
        UserError: The only image failed, or all of them.
    """
    results: dict[Path, Result] = {}
    failures: dict[Path, str] = {}
    try:
        with progress_bars() as bars:
            images = bars.add_task("Images", total=len(paths), visible=len(paths) > 1)
            inside = bars.add_task("This image", total=None, visible=scheduler is None)

            def advance(done: int, total: int) -> None:
                bars.update(inside, completed=done, total=total)

            for outcome in each_image(segmenter, paths, work, scheduler, advance):
                if outcome.result is None:
                    failures[outcome.path] = outcome.failure
                else:
                    results[outcome.path] = outcome.result
                    report(outcome.result)
                bars.advance(images)
    finally:
        finished = Finished(
            {path: results[path] for path in paths if path in results},
            {name(path): failures[path] for path in paths if path in failures},
        )
        if results or failures:
            write(finished)
    if len(paths) == 1 and failures:
        raise UserError(failures[paths[0]])
    for failed, sentence in finished.failures.items():
        typer.echo(f"{failed} failed: {sentence}", err=True)
    if not results:
        raise UserError(f"None of the {len(paths)} images could be {verb}: {next(iter(finished.failures.values()))}")
    return finished
