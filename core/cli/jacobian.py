"""`python -m core jacobian` and `python -m core threshold`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskID

from ..errors import UserError
from ..jacobian import Estimate, Jacobian, JacobianRequest, Progress, Threshold, estimate
from ..jacobian.encoding import StoredType
from ..jacobian.many_images import jacobians
from ..jacobian.threshold import Definition
from ..segmenter import Image
from ..target import Space
from .options import (
    Device,
    Images,
    Model,
    Out,
    Question,
    Reading,
    Scheduler,
    chosen_class,
    progress_bars,
    with_progress,
)
from .target_options import Against, ScoreClass, score_class


def jacobian(
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder for the stores, one <image>.zarr per image.")],
    images: Images,
    stride: Annotated[int, typer.Option(help="Compute the rows of every n-th output pixel only.")] = 1,
    class_name: ScoreClass = "1",
    against: Against = None,
    space: Annotated[Space, typer.Option(help="Score space to differentiate.")] = "probability",
    dtype: Annotated[StoredType, typer.Option(help="Type of the stored values.")] = "float32",
    summaries: Annotated[bool, typer.Option("--summaries", help="Keep only the summaries, not the rows.")] = False,
    scheduler: Scheduler = None,
    only_estimate: Annotated[bool, typer.Option("--estimate", help="Print the cost, and stop.")] = False,
    device: Device = "auto",
    *,
    reading: Reading,
    question: Question,
) -> None:
    """Compute the Jacobian of whole images; run again to resume.

    Example: python -m core jacobian --model vessmap --images DIR --out runs --stride 4
    """
    segmenter = question.load(model, device)
    class_index = score_class(segmenter, class_name)
    other = None if against is None else chosen_class(segmenter, against)
    read: dict[str | Path, Image] = {
        out / f"{path.stem}.zarr": reading.image(segmenter, path) for path in images.paths()
    }
    request = JacobianRequest(class_index, space, stride, dtype, keep_rows=not summaries, against=other)
    first, values = next(iter(read.items()))
    cost = estimate(segmenter, values, request, first)
    typer.echo(_described(cost, len(read)))
    if only_estimate:
        return
    with progress_bars() as bars:
        tasks: dict[Path, TaskID] = {}

        def advance(store: Path, progress: Progress) -> None:
            if store not in tasks:
                tasks[store] = bars.add_task(store.stem, total=progress.total)
            bars.update(tasks[store], completed=progress.passes)

        finished = jacobians(segmenter, read, request, scheduler=scheduler, progress=advance)
    for result in finished:
        typer.echo(f"{result.path}: {result.num_passes:,} passes, complete")


def threshold(
    folder: Annotated[Path, typer.Argument(help="A store, or a folder of stores that `jacobian` wrote.")],
    out: Out,
    proportion: Annotated[float, typer.Option(help="Fraction of the largest |gradient| of the whole Jacobian.")] = 0.01,
    definition: Annotated[
        Definition, typer.Option(help="original: a fraction of the signed maximum, as the first project did.")
    ] = "absolute",
    within_prediction: Annotated[bool, typer.Option("--within-prediction", help="Predicted pixels only.")] = False,
) -> None:
    """Count, per output pixel, the input pixels whose gradient exceeds a threshold.

    Example: python -m core threshold runs --proportion 0.01 --out maps
    """
    stores = [folder] if folder.suffix == ".zarr" else sorted(folder.glob("*.zarr"))
    if not stores:
        raise UserError(f"There is no Jacobian store (*.zarr) in {folder}; make one with the command jacobian.")
    level = Threshold(proportion, definition)
    for store in with_progress(stores, "Counting"):
        found = Jacobian(store)
        if found.damage:
            typer.echo(found.damage, err=True)
        found.save_threshold_maps(out / store.stem, level, within_prediction=within_prediction)
        typer.echo(f"{out / store.stem}: threshold_map, box_area and fulfilment, each as .npy and .png")


def _described(cost: Estimate, images: int) -> str:
    each = " per image" if images > 1 else ""
    work = f"{cost.passes:,} passes for {cost.pixels:,} rows{each} (x{cost.speedup:.1f})"
    time = f"{1000 * cost.seconds_per_pass:.1f} ms per pass: about {cost.seconds / 60:.1f} minutes{each}"
    memory = f"memory {cost.memory_bytes / 1e9:.1f} GB"
    disk = f"disk at most {cost.disk_bytes / 1e9:.2f} GB{each}, {cost.free_disk_bytes / 1e9:.0f} GB free"
    advice = "python -m core estimate estimates what each row sums up to, with a fraction of the passes."
    notes = [cost.note, advice if cost.dense and cost.passes == cost.pixels else ""]
    return "\n".join([f"{work}, {time}", f"{memory}; {disk}", *filter(None, notes)])
