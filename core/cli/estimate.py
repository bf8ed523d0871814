"""`python -m core estimate`."""

from typing import Annotated

import typer

from ..jacobian import RowEstimates, estimate_row_summaries
from ..target import Space
from .options import Device, Images, Model, Out, Question, Reading, chosen_class, progress_bars
from .target_options import Against, ScoreClass, score_class


def estimate(
    model: Model,
    out: Out,
    images: Images,
    error: Annotated[float, typer.Option(help="Relative error wanted: 0.2 is 20 %.")] = 0.2,
    most_passes: Annotated[
        int | None, typer.Option(help="Passes at most; by default a sixteenth of the pixels.")
    ] = None,
    exact_rows: Annotated[int, typer.Option(help="Rows computed exactly, to measure the errors.")] = 64,
    class_name: ScoreClass = "1",
    against: Against = None,
    space: Annotated[Space, typer.Option(help="Score space to differentiate.")] = "probability",
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn at random.")] = 0,
    device: Device = "auto",
    *,
    reading: Reading,
    question: Question,
) -> None:
    """Estimate what the rows of a Jacobian sum up to, with error bars.

    For networks whose Jacobian takes a pass for each pixel, as those with attention.

    In OUT/<image>: each estimate as .npy and .png, and manifest.json with its error.

    Example: python -m core estimate --model vessmap --images DIR --error 0.2 --out results
    """
    segmenter = question.load(model, device)
    class_index = score_class(segmenter, class_name)
    other = None if against is None else chosen_class(segmenter, against)
    for path in images.paths():
        with progress_bars() as bars:
            task = bars.add_task(path.stem)
            found = estimate_row_summaries(
                segmenter, reading.image(segmenter, path), class_index, space, error, most_passes=most_passes,
                exact_rows=exact_rows, against=other, seed=seed,
                progress=lambda done, total, task=task: bars.update(task, completed=done, total=total),  # type: ignore[misc]
            )  # fmt: skip
        typer.echo(f"{found.save(out / path.stem)}: {_described(found)}")


def _described(found: RowEstimates) -> str:
    return "\n".join([found.note, *(f"  {estimated.title}" for estimated in found.maps.values())])
