"""Options that several commands share, and what they stand for."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from ..data.conversion import with_channels
from ..data.images import LoadedImage, Scaling, image_files, load_image
from ..data.layout import ImagePair, find_pairs
from ..errors import UserError
from ..segmenter import Segmenter
from .option_groups import OptionGroup

Item = TypeVar("Item")

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "--weights",
        help="A checkpoint, the name of a shipped one such as vessmap, or your own package.module:function.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.")]
Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, or cuda.")]
Scheduler = Annotated[str | None, typer.Option(help="Dask scheduler to spread the images over: tcp://host:8786.")]
ClassName = Annotated[str, typer.Option("--class", help="Class, by number or name.")]
OptionalClassName = Annotated[str | None, typer.Option("--class", help="Class, by number or name.")]
Masks = Annotated[Path | None, typer.Option(help="Folder of ground truth; a mask has the name of its image.")]


@dataclass(frozen=True)
class Reading(OptionGroup):
    """How images are read."""

    scaling: Annotated[Scaling, typer.Option(help="dtype: full range of the type; percentile: stretched.")] = "dtype"
    grey: Annotated[bool, typer.Option("--grey", help="Turn colour images into grey ones.")] = False

    def load(self, segmenter: Segmenter, path: Path) -> tuple[np.ndarray, LoadedImage]:
        """The image (C, H, W) in [0, 1] for the segmenter, and how it was read.

        Raises:
            UserError: A file that cannot be read, or one with other channels than the network takes.
        """
        loaded = load_image(path, self.scaling)
        values = with_channels(loaded.values, 1) if self.grey else loaded.values
        if values.shape[0] != segmenter.in_channels:
            hint = "; add --grey to convert it" if segmenter.in_channels == 1 and values.shape[0] == 3 else ""
            has = "1 channel" if values.shape[0] == 1 else f"{values.shape[0]} channels"
            raise UserError(
                f"{loaded.name} has {has} and the network {segmenter.name} takes {segmenter.in_channels}{hint}."
            )
        return values, loaded

    def image(self, segmenter: Segmenter, path: Path) -> np.ndarray:
        """The image (C, H, W) alone, see `load`."""
        return self.load(segmenter, path)[0]


@dataclass(frozen=True)
class Images(OptionGroup):
    """One image, or a folder of them."""

    image: Annotated[Path | None, typer.Option(help="One image: PNG, JPEG or TIFF.")] = None
    images: Annotated[Path | None, typer.Option(help="A folder of images, instead of one.")] = None

    def paths(self) -> list[Path]:
        """The files.

        Raises:
            UserError: Neither or both are given, the folder holds no image, or two that have the same stem.
        """
        if (self.image is None) == (self.images is None):
            raise UserError("Give either --image FILE or --images FOLDER.")
        return [self.image] if self.image is not None else images_in(self.images or Path())


@dataclass(frozen=True)
class ImageRun(Images):
    """Images, their masks, and where the work is done."""

    samples: Annotated[
        int | None, typer.Option(help="Number of images to take of a folder: the first, or with --seed drawn.")
    ] = None
    masks: Masks = None
    scheduler: Scheduler = None
    device: Device = "auto"

    def chosen(self, seed: int | None) -> tuple[list[Path], str]:
        """The files, and how they were chosen, in words.

        Raises:
            UserError: As `paths` and `drawn_images`, or samples of a single image.
        """
        if self.samples is not None and self.image is not None:
            raise UserError("Samples are taken of a folder; give --images FOLDER, or leave out --samples.")
        return drawn_images(self.paths(), self.samples, seed)

    def pairs(self, paths: Sequence[Path], *, needs_truth: bool) -> Mapping[Path, ImagePair]:
        """The images that have a mask, by absolute path; where masks are needed but not named, those beside the images.

        Raises:
            UserError: As `masks_of` and `find_pairs`.
        """
        if self.masks is not None or not needs_truth:
            return masks_of(paths, self.masks)
        folder = paths[0].parent
        return {
            pair.image.absolute(): pair for pair in find_pairs(folder.parent if folder.name == "images" else folder)
        }


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, or of the folder images/ in it.

    Raises:
        UserError: The folder holds no image, or two that have the same stem.
    """
    paths = image_files(folder)
    stems = [path.stem for path in paths]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise UserError(f"Two images are called {twice}, and their results would be too; rename one of them.")
    return paths


def chosen_class(segmenter: Segmenter, name: str) -> int:
    """The index of the class with this number or name.

    Raises:
        UserError: The network has no such class; the message lists those it has.
    """
    names = segmenter.class_names
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    known = ", ".join(f"{index} {known}" for index, known in enumerate(names))
    raise UserError(f'The network {segmenter.name} has no class "{name}"; its classes are {known}.')


def chosen_names(what: str, text: str, known: Sequence[str]) -> tuple[Any, ...]:
    """The names in a list with commas, each once.

    Raises:
        UserError: There is no name, or an unknown one; the message lists the known ones, the nearest first.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError(f"Name at least one {what}: {', '.join(known)}.")
    for name in names:
        if name not in known:
            nearest = sorted(known, key=lambda other: -SequenceMatcher(None, name, other).ratio())
            raise UserError(f'There is no {what} "{name}"; there are {", ".join(nearest)}.')
    return names


def drawn_images(paths: list[Path], samples: int | None, seed: int | None) -> tuple[list[Path], str]:
    """Some of the images, and how they were chosen, in words: drawn with a seed, without one the first by name.

    Raises:
        UserError: Fewer than one sample, or a negative seed.
    """
    if samples is None:
        return paths, "all"
    if samples < 1:
        raise UserError(f"At least one sample is taken; {samples} were asked for.")
    if seed is not None and seed < 0:
        raise UserError(f"A seed is a whole number from 0 on; {seed} was given.")
    if samples >= len(paths):
        return paths, f"all; {samples} were asked for"
    if seed is None:
        return paths[:samples], f"the first {samples} of {len(paths)} by name"
    chosen = np.random.default_rng(seed).choice(len(paths), samples, replace=False)
    return [paths[index] for index in sorted(chosen)], f"{samples} of {len(paths)}, drawn with seed {seed}"


def masks_of(images: Sequence[Path], mask_folder: Path | None) -> Mapping[Path, ImagePair]:
    """Those of the images of one folder that have a mask of the same stem in another folder, by absolute path.

    A data set that is whole is read as `find_pairs` does, palettes and label ids among it; where masks or images are
    missing, masks are black and white, or plain indices. Without a folder there are no masks.

    Raises:
        UserError: The folder is not there or empty, or has a mask of none of the images.
    """
    if mask_folder is None:
        return {}
    masks = {path.stem: path for path in image_files(mask_folder)}
    try:
        pairs = {pair.image: pair for pair in find_pairs(images[0].parent, mask_folder)}
    except UserError:
        pairs = {path: ImagePair(path.stem, path, masks[path.stem]) for path in images if path.stem in masks}
    found = {path.absolute(): pairs[path] for path in images if path in pairs}
    if not found:
        raise UserError(
            f"The folder {mask_folder} has no mask for any of the images; a mask has the name of its image."
        )
    return found


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress bars on the terminal's standard error, gone when all is done."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        yield bars


def with_progress(items: Sequence[Item], label: str) -> Iterator[Item]:
    """The items, under a progress bar."""
    with progress_bars() as bars:
        yield from bars.track(items, description=label)
