"""`python -m core ig`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress as ProgressBars

from ..attribution.attribution import SCHEMA_VERSION
from ..attribution.baselines import BASELINES, DEFAULT_DRAWS, DEFAULT_SIGMA, BaselineKind
from ..attribution.integrated_gradients import DEFAULT_BUDGET, DEFAULT_STEPS, DEFAULT_TOLERANCE
from ..attribution.quadrature import Rule, nodes_and_weights
from ..compute.batches import averages, csv_bytes, each_image, json_bytes
from ..errors import UserError
from ..io.files import write_atomically
from ..models import load_segmenter
from ..target import Space
from .choices import Scheduler, chosen_class, drawn_images, masks_of
from .explanation import ImageExplanation, Region, TargetChoice
from .options import (
    Device,
    Grey,
    ManyImages,
    OneImage,
    Out,
    Stretch,
    Weights,
    chosen_images,
)


def ig(
    weights: Weights,
    out: Out,
    image: OneImage = None,
    images: ManyImages = None,
    samples: Annotated[int | None, typer.Option(help="Of a folder, only this many: the first, or see --seed.")] = None,
    baseline: Annotated[str, typer.Option(help="zero, random, blur, mean, or an image file.")] = "zero",
    sigma: Annotated[float, typer.Option(help="Of a blurred baseline, in pixels.")] = DEFAULT_SIGMA,
    draws: Annotated[int, typer.Option(help="Number of random baselines.")] = DEFAULT_DRAWS,
    steps: Annotated[str, typer.Option(help="Gradients along the path, or auto.")] = str(DEFAULT_STEPS),
    rule: Annotated[Rule | None, typer.Option(help="Where a fixed number of steps is taken [gausslegendre].")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help=f"Of auto: the error of map and sum, a fraction [{DEFAULT_TOLERANCE}].")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help=f"Of auto: the most steps for each baseline [{DEFAULT_BUDGET}].")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Number or name of a class, instead of what is predicted.")
    ] = None,
    region: Annotated[
        Region, typer.Option(help="image: all pixels; class: those where the class is predicted.")
    ] = "image",
    row: Annotated[int | None, typer.Option(help="Of a single pixel, instead of all.")] = None,
    column: Annotated[int | None, typer.Option(help="Of that pixel.")] = None,
    space: Annotated[Space, typer.Option(help="Of the scores.")] = "probability",
    masks: Annotated[Path | None, typer.Option(help="A folder of ground truth, called as the images are.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of random baselines [0]; if given, --samples are drawn with it too.")
    ] = None,
    scheduler: Scheduler = None,
    device: Device = "auto",
    scaling: Stretch = "dtype",
    grey: Grey = False,
) -> None:
    """Integrated Gradients of the whole prediction, of a class or of a pixel, with statistics.

    In OUT/<image>: the values, signed, magnitude and overlay as pictures, statistics.json and manifest.json. For a
    folder also OUT/statistics.csv and OUT/summary.json; an image that fails is listed, and the others go on.

    Example: python -m core ig --weights weights/vessmap.safetensors --images DIR --samples 10 --out results
    """
    paths = chosen_images(image, images)
    if samples is not None and image is not None:
        raise UserError("Samples are taken of a folder; give --images FOLDER, or leave out --samples.")
    paths, selection = drawn_images(paths, samples, seed)
    segmenter = load_segmenter(weights, device)
    explain = ImageExplanation(
        out.absolute(),
        TargetChoice(None if class_name is None else chosen_class(segmenter, class_name), region, row, column, space),
        _known_baseline(baseline),
        sigma,
        draws,
        *_steps(steps, rule, tolerance, max_steps),
        seed or 0,
        scaling,
        grey,
        {} if masks is None else {path.absolute(): pair for path, pair in masks_of(paths, masks).items()},
    )
    rows: dict[Path, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    console = Console(stderr=True)
    try:
        with ProgressBars(console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
            done_images = bars.add_task("Images", total=len(paths))
            done_steps = bars.add_task("Gradients", total=None, visible=scheduler is None)

            def advance(done: int, total: int) -> None:
                bars.update(done_steps, completed=done, total=total)

            for outcome in each_image(segmenter, paths, explain, scheduler, advance):
                if outcome.result is None:
                    failed[outcome.path.stem] = outcome.failure
                else:
                    rows[outcome.path] = outcome.result
                    typer.echo(_described(outcome.result))
                bars.advance(done_images)
    finally:
        failed = {path.stem: failed[path.stem] for path in paths if path.stem in failed}
        if images is not None and (rows or failed):
            table = [rows[path] for path in paths if path in rows]
            _write_tables(out, table, failed, selection, explain.describe(segmenter))
    if image is not None and failed:
        raise UserError(failed[image.stem])
    for stem, reason in failed.items():
        typer.echo(f"{stem} failed: {reason}", err=True)
    if not rows:
        raise UserError(f"None of the {len(paths)} images could be explained: {next(iter(failed.values()))}")
    if images is not None:
        typer.echo(f"{out}: {len(rows)} of {len(paths)} images ({selection}); averages in summary.json")


def _known_baseline(text: str) -> BaselineKind | Path:
    kinds = [kind for kind in BASELINES if kind != "image"]
    for kind in kinds:
        if text == kind:
            return kind
    path = Path(text)
    if not path.is_file():
        raise UserError(f'The baseline is {", ".join(kinds)} or an image file; there is no file "{text}".')
    return path.absolute()


def _steps(
    text: str, rule: Rule | None, tolerance: float | None, max_steps: int | None
) -> tuple[int | Literal["auto"], Rule, float, int]:
    """Number of steps, rule, tolerance and budget."""
    chosen: Rule = rule or "gausslegendre"
    if text == "auto":
        budget = DEFAULT_BUDGET if max_steps is None else max_steps
        if rule is not None:
            raise UserError("Automatic steps choose their places themselves; leave out --rule.")
        return "auto", chosen, DEFAULT_TOLERANCE if tolerance is None else tolerance, budget
    if tolerance is not None or max_steps is not None:
        raise UserError("Only automatic steps have a tolerance and a budget; add --steps auto.")
    try:
        number = int(text)
    except ValueError as error:
        raise UserError(f'The number of steps is a whole number or auto; "{text}" was given.') from error
    nodes_and_weights(chosen, number)
    return number, chosen, DEFAULT_TOLERANCE, DEFAULT_BUDGET


def _described(numbers: Mapping[str, Any]) -> str:
    percent, ratio = numbers["convergence_percent"], numbers["predicted_ratio"]
    error = "no difference of scores" if np.isnan(percent) else f"delta {percent:.2g} %"
    if not np.isnan(numbers["map_error_percent"]):
        error += f", map error about {numbers['map_error_percent']:.2g} %"
    steps = f"{numbers['steps']} steps"
    if numbers["stopped"] == "budget":
        steps += f" (budget used up before the {numbers['missed']} reached the tolerance)"
    return f"{numbers['image']}: {steps}, {error}, attribution ratio {ratio:.3g}"


def _write_tables(
    out: Path, rows: Sequence[Mapping[str, Any]], failed: Mapping[str, str], selection: str, settings: dict[str, Any]
) -> None:
    summary = {
        "schema_version": SCHEMA_VERSION,
        "method": "integrated_gradients",
        "settings": settings,
        "selection": selection,
        "images": len(rows),
        "averages": averages(rows),
        "failed": failed,
    }
    if rows:
        write_atomically(out / "statistics.csv", csv_bytes(rows))
    write_atomically(out / "summary.json", json_bytes(summary))
