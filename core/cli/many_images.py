"""One job over many images: progress bars, a list of the images that failed, tables written however it ends."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import typer

from ..compute.batches import ImageWork, each_image
from ..errors import UserError
from ..segmenter import Segmenter
from .options import progress_bars

Result = TypeVar("Result")

SUMMARY_VERSION = 2
"""Version of the keys of summary.json."""


def work_through(
    segmenter: Segmenter,
    paths: Sequence[Path],
    work: ImageWork[Result],
    write: Callable[[dict[Path, Result], dict[str, str]], object],
    scheduler: str | None = None,
    *,
    name: Callable[[Path], str] = lambda path: path.stem,
    report: Callable[[Result], object] = lambda _: None,
    verb: str = "explained",
) -> dict[Path, Result]:
    """The results by image, in the order of the images; one that fails is listed, and the others go on.

    Args:
        segmenter: The network.
        paths: The images' files.
        work: The work for one image, see `each_image`.
        write: Writes the tables, from the results and a sentence per failed image; called once, also when stopped.
        scheduler: Address of a Dask scheduler; None works in this process.
        name: Name of an image in the list of failures.
        report: Called with each result as it comes.
        verb: Past participle of the work, for messages.

    Raises:
        UserError: The only image failed, or all of them.
    """
    results: dict[Path, Result] = {}
    failures: dict[Path, str] = {}
    try:
        with progress_bars() as bars:
            images = bars.add_task("Images", total=len(paths))
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
        results = {path: results[path] for path in paths if path in results}
        named = {name(path): failures[path] for path in paths if path in failures}
        if results or named:
            write(results, named)
    if len(paths) == 1 and named:
        raise UserError(failures[paths[0]])
    for failed, sentence in named.items():
        typer.echo(f"{failed} failed: {sentence}", err=True)
    if not results:
        raise UserError(f"None of the {len(paths)} images could be {verb}: {next(iter(named.values()))}")
    return results
