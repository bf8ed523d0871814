"""Options that several commands share, and what they do with them."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn

from ..data.images import LoadedImage, Scaling, image_files, load_image, with_channels
from ..errors import UserError
from ..segmenter import Segmenter

Item = TypeVar("Item")

Weights = Annotated[
    str,
    typer.Option(help="A checkpoint, the name of a shipped one such as vessmap, or your own package.module:function."),
]
Out = Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.")]
Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, or cuda.")]
OneImage = Annotated[Path | None, typer.Option(help="One image: PNG, JPEG or TIFF.")]
ManyImages = Annotated[Path | None, typer.Option(help="A folder of images, instead of one.")]
Grey = Annotated[bool, typer.Option("--grey", help="Turn colour images into grey ones.")]
Stretch = Annotated[Scaling, typer.Option("--scaling", help="dtype: full range of the type; percentile: stretched.")]


def chosen_images(image: Path | None, images: Path | None) -> list[Path]:
    """The files named by `--image` or `--images`.

    Raises:
        UserError: Neither or both are given, or the folder holds no image.
    """
    if (image is None) == (images is None):
        raise UserError("Give either --image FILE or --images FOLDER.")
    paths = [image] if image is not None else image_files(images or Path())
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise UserError(f"Two images are called {twice}, and their results would be too; rename one of them.")
    return paths


def read_for(segmenter: Segmenter, path: Path, scaling: Scaling, *, grey: bool) -> tuple[np.ndarray, LoadedImage]:
    """The image (C, H, W) in [0, 1] for the segmenter, and how it was read.

    Raises:
        UserError: A file that cannot be read, or one with other channels than the network takes.
    """
    loaded = load_image(path, scaling)
    values = with_channels(loaded.values, 1) if grey else loaded.values
    if values.shape[0] != segmenter.in_channels:
        hint = "; add --grey to convert it" if segmenter.in_channels == 1 and values.shape[0] == 3 else ""
        has = "1 channel" if values.shape[0] == 1 else f"{values.shape[0]} channels"
        raise UserError(
            f"{loaded.name} has {has} and the network {segmenter.name} takes {segmenter.in_channels}{hint}."
        )
    return values, loaded


def with_progress(items: Sequence[Item], label: str) -> Iterator[Item]:
    """The items, under a progress bar on the terminal's standard error."""
    columns = SpinnerColumn(), *Progress.get_default_columns()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        yield from bar.track(items, description=label)
