"""`python -m core data`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..data.inspection import inspect_data_set
from ..data.reports import DataSetReport, ImageFacts
from ..io.files import write_atomically
from ..io.tables import csv_bytes
from .options import progress_bars

_COLOURS = {"error": "red", "warning": "yellow"}


def data(
    folder: Annotated[Path, typer.Argument(help="Data set: images/ beside labels/ or masks/.")],
    masks: Annotated[Path | None, typer.Option(help="Folder of the masks, if FOLDER is that of the images.")] = None,
    class_names: Annotated[
        str | None, typer.Option(help="Names of the classes, commas between them; others are errors.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="CSV file to write, with one row per image.")] = None,
) -> None:
    """Check a data set of images with masks: everything that is wrong, sizes, classes, copies.

    The exit code is 1 where there are errors, and 0 where there are none or only warnings.

    Example: python -m core data DATA --class-names background,vessel --csv images.csv
    """
    names = tuple(name.strip() for name in class_names.split(",")) if class_names else ()
    with progress_bars() as bars:
        files = bars.add_task("Reading", total=None)
        report = inspect_data_set(
            folder, masks, names, lambda done, total: bars.update(files, completed=done, total=total)
        )
    console = Console(highlight=False, soft_wrap=True)
    if report.images:
        console.print(_summary(report))
    for issue in report.issues:
        colour = _COLOURS[issue.severity]
        label = f"[{colour}]{issue.severity}[/{colour}] {issue.kind}"
        console.print(f"{label}, {escape(issue.file)}: {escape(issue.sentence)}")
    counts = [(len(report.errors), "error"), (len(report.warnings), "warning")]
    console.print(", ".join(f"{count or 'no'} {what}{'' if count == 1 else 's'}" for count, what in counts))
    if csv is not None:
        write_atomically(csv, csv_bytes(report.rows()))
    if report.errors:
        raise typer.Exit(1)


def _summary(report: DataSetReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    images = report.images
    counts = [f"{count} {part}".strip() for part, count in report.parts.items()]
    table.add_row("images", ", ".join(counts))
    table.add_row("size", _commonest([f"{image.height}×{image.width}" for image in images]))
    table.add_row("channels", _commonest([f"{image.channels} of {image.stored_as}" for image in images]))
    table.add_row("brightness", _from_to(images))
    table.add_row("masks", report.masks)
    for name, share in report.class_shares().items():
        table.add_row(f"class {escape(name)}", f"{100 * share:.1f} % of the pixels")
    return table


def _commonest(values: Sequence[str]) -> str:
    """The commonest values with their counts."""
    counts = Counter(values)
    if len(counts) == 1:
        return values[0]
    named = ", ".join(f"{value} ({count})" for value, count in counts.most_common(4))
    return f"{named} and {len(counts) - 4} more" if len(counts) > 4 else named


def _from_to(images: Sequence[ImageFacts]) -> str:
    values = [image.brightness for image in images]
    return f"{min(values):.3f} … {max(values):.3f}, mean {sum(values) / len(values):.3f} (of 1)"
