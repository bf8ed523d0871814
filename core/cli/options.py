"""Options that several commands share, and the values they are read as."""

import sys
from collections import Counter
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

from ..data.data_sets import ImagePair, find_pairs, read_pair
from ..data.images import LoadedImage, Scaling, image_files, load_image, with_channels
from ..errors import UserError
from ..models import load_segmenter
from ..segmenter import Segmenter
from .option_groups import OptionGroup

Item = TypeVar("Item")

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "--weights",
        help="A checkpoint, the name of a shipped one such as vessmap, an ONNX file, a folder of transformers, or your "
        "own package.module:function.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the results; made if it is not there.")]
Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, or cuda.")]
Scheduler = Annotated[str | None, typer.Option(help="Dask scheduler to spread the images over: tcp://host:8786.")]


@dataclass(frozen=True)
class Question(OptionGroup):
    """What to ask a network that answers several questions."""

    label: Annotated[
        str | None,
        typer.Option(help="Label to explain, its name or number, of a network whose labels may overlap."),
    ] = None

    prompt: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Row and column of the point on the object that SAM and SAM 2 answer about."),
    ] = None

    def load(self, model: str, device: str) -> Segmenter:
        """The network that is asked this."""
        return load_segmenter(model, device, label=self.label, prompt=self.prompt)


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


def true_mask(pairs: Mapping[Path, ImagePair], path: Path) -> np.ndarray | None:
    """The true class of each pixel of an image, integers (H, W); None where `ImageRun.pairs` has no mask for it."""
    pair = pairs.get(path.absolute())
    return None if pair is None else read_pair(pair).mask


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
        paths = [self.image] if self.image is not None else image_files(self.images or Path())
        ((stem, count),) = Counter(path.stem for path in paths).most_common(1)
        if count > 1:
            raise UserError(f"Two images are called {stem}, and their results would be too; rename one of them.")
        return paths


@dataclass(frozen=True)
class ImageRun(Images):
    """Images, their masks, and where the work is done."""

    samples: Annotated[
        int | None, typer.Option(help="Number of images to take of a folder: the first, or with --seed drawn.")
    ] = None
    masks: Annotated[Path | None, typer.Option(help="Folder of ground truth; a mask has the name of its image.")] = None
    scheduler: Scheduler = None
    device: Device = "auto"
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything that is drawn at random, the samples among it.")
    ] = None

    @property
    def seeds(self) -> dict[str, int]:
        """The seed as a setting of methods; empty without one."""
        return {} if self.seed is None else {"seed": self.seed}

    def chosen(self) -> tuple[list[Path], str]:
        """The files, and how they were chosen, in words: drawn with a seed, without one the first by name.

        Raises:
            UserError: As `paths`, samples of a single image, fewer than one sample, or a negative seed.
        """
        if self.samples is not None and self.image is not None:
            raise UserError("Samples are taken of a folder; give --images FOLDER, or leave out --samples.")
        if self.samples is not None and self.samples < 1:
            raise UserError(f"At least one sample is taken; {self.samples} were asked for.")
        if self.seed is not None and self.seed < 0:
            raise UserError(f"A seed is a whole number from 0 on; {self.seed} was given.")
        paths = self.paths()
        if self.samples is None:
            return paths, "all"
        if self.samples >= len(paths):
            return paths, f"all; {self.samples} were asked for"
        if self.seed is None:
            return paths[: self.samples], f"the first {self.samples} of {len(paths)} by name"
        drawn = np.random.default_rng(self.seed).choice(len(paths), self.samples, replace=False)
        return [paths[index] for index in sorted(drawn)], f"{self.samples} of {len(paths)}, drawn with seed {self.seed}"

    def pairs(self, paths: Sequence[Path], *, needs_truth: bool) -> Mapping[Path, ImagePair]:
        """The images that have a mask, by absolute path; masks that are needed but not named lie beside the images.

        A data set that is whole is read as `find_pairs` does, palettes and label ids among it; where masks or images
        are missing, masks are black and white, or plain indices.

        Raises:
            UserError: The folder of masks is not there or empty, or has a mask of none of the images.
        """
        folder = paths[0].parent
        if self.masks is None:
            found = find_pairs(folder.parent if folder.name == "images" else folder) if needs_truth else []
            return {pair.image.absolute(): pair for pair in found}
        masks = {path.stem: path for path in image_files(self.masks)}
        try:
            known = {pair.image: pair for pair in find_pairs(folder, self.masks)}
        except UserError:
            known = {path: ImagePair(path.stem, path, masks[path.stem]) for path in paths if path.stem in masks}
        pairs = {path.absolute(): known[path] for path in paths if path in known}
        if not pairs:
            raise UserError(
                f"The folder {self.masks} has no mask for any of the images; a mask has the name of its image."
            )
        return pairs


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


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress bars on the terminal's standard error, gone when all is done."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        yield bars


def with_progress(items: Sequence[Item], label: str) -> Iterator[Item]:
    """The items, under a progress bar."""
    with progress_bars() as bars:
        yield from bars.track(items, description=label)
