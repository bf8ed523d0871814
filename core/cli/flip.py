"""`python -m core flip`."""

from pathlib import Path
from typing import Annotated

import typer

from ..counterfactual import FragilityMap, SmallestChange, allowed_outside, fragility_map, smallest_change
from ..counterfactual.flip import Measure
from ..counterfactual.flip.natural import Fill
from ..display.words import number
from ..errors import UserError
from ..pixel_sets import PixelSet
from ..receptive_field.known import learn_field
from ..segmenter import Segmenter
from .options import Device, Images, Model, Out, Question, Reading, chosen_class, progress_bars
from .target_options import box_of, corners_of


def flip(
    model: Model,
    out: Out,
    images: Images,
    row: Annotated[int | None, typer.Option(help="Row of the pixel.")] = None,
    column: Annotated[int | None, typer.Option(help="Column of the pixel.")] = None,
    box: Annotated[
        str | None, typer.Option(help="A region instead: first row, first column, last row, last column.")
    ] = None,
    lasso: Annotated[str | None, typer.Option(help="A region instead: corners as row,column: '0,0 0,9.5 9,9'.")] = None,
    measure: Annotated[
        Measure, typer.Option(help="What is small: l2 or linf norm, l0 pixels, or the area of a natural change.")
    ] = "l2",
    to: Annotated[str | None, typer.Option(help="Class to flip to, by number or name; any other without one.")] = None,
    share: Annotated[float, typer.Option(help="Share of a region's pixels that is to flip.")] = 0.5,
    context: Annotated[
        float | None, typer.Option(help="Change only what is further than so many pixels from the pixel or region.")
    ] = None,
    eight_bit: Annotated[bool, typer.Option("--eight-bit", help="Changed values are whole 8-bit grey levels.")] = False,
    becomes: Annotated[Fill, typer.Option(help="What the pixels of a natural change become.")] = "inpaint",
    every: Annotated[
        int | None, typer.Option(help="The distances of every n-th pixel instead; run again to resume.")
    ] = None,
    device: Device = "auto",
    *,
    reading: Reading,
    question: Question,
) -> None:
    """Find the smallest change that flips a label, or map the distance to it.

    In OUT/<image>: the change, the changed image, its labels, an edit for the page What if, and manifest.json.

    Example: python -m core flip --model vessmap --image FILE --row 130 --column 78 --context 8 --out results
    """
    segmenter = question.load(model, device)
    pixels = None if every is not None else _pixels(row, column, box, lasso)
    to_class = None if to is None else chosen_class(segmenter, to)
    for path in images.paths():
        values = reading.image(segmenter, path)
        size = values.shape[1], values.shape[2]
        learn_field(segmenter, size)
        with progress_bars() as bars:
            task = bars.add_task(path.stem)

            def advance(done: int, total: int, task: int = task) -> None:
                bars.update(task, completed=done, total=total)  # type: ignore[arg-type]

            if every is not None:
                norm: Measure = measure
                found = fragility_map(segmenter, values, every, norm, out=out / path.stem, progress=advance)
                words = _summary(found)
            else:
                assert pixels is not None  # noqa: S101 - one or the other was given
                mask = pixels.mask(segmenter.predict(values), 0)
                allowed = None if context is None else allowed_outside(mask, size, context)
                change = smallest_change(
                    segmenter, values, mask, measure=measure, to_class=to_class, share=share, allowed=allowed,
                    eight_bit=eight_bit, fill=becomes, progress=advance,
                )  # fmt: skip
                words = _kept(segmenter, change, out / path.stem)
        typer.echo(f"{path.name}: {words}")


def _pixels(row: int | None, column: int | None, box: str | None, lasso: str | None) -> PixelSet:
    given = [row is not None or column is not None, box is not None, lasso is not None]
    if sum(given) != 1:
        raise UserError("Give --row and --column of a pixel, or a region by --box or --lasso, or --every for a map.")
    if given[0]:
        if row is None or column is None:
            raise UserError("A pixel has a row and a column; give both --row and --column.")
        return PixelSet("point", row, column)
    return PixelSet("box", box=box_of(box)) if box is not None else PixelSet("lasso", lasso=corners_of(lasso))


def _kept(segmenter: Segmenter, change: SmallestChange, folder: Path) -> str:
    change.save(folder)
    return f"{change.sentence(segmenter.class_names)} {folder}"


def _summary(found: FragilityMap) -> str:
    summary = found.manifest()
    if not summary["found"]:
        return "no flip was found."
    return (
        f"{summary['found']:,} of {found.distances.size:,} pixels flip, by a change of "
        f"{'norm' if found.measure == 'l2' else 'at most'} {number(summary['median'], 3)} in the median and "
        f"{number(summary['smallest'], 3)} at the least; these are upper bounds."
    )
