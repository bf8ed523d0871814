"""What commands that explain many images let the user choose, beside `core.cli.options`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..data.data_sets import ImagePair, find_pairs
from ..data.images import image_files
from ..errors import UserError
from ..segmenter import Segmenter

Scheduler = Annotated[str | None, typer.Option(help="A Dask scheduler to spread the images over, tcp://host:8786.")]


def chosen_class(segmenter: Segmenter, name: str) -> int:
    """The index of the class that is named by its number or its name.

    Raises:
        UserError: The network has no such class; it tells which it has.
    """
    names = segmenter.class_names
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    known = ", ".join(f"{index} {known}" for index, known in enumerate(names))
    raise UserError(f'The network {segmenter.name} has no class "{name}"; its classes are {known}.')


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


def masks_of(images: Sequence[Path], mask_folder: Path) -> dict[Path, ImagePair]:
    """Those of the images of one folder that have a mask of the same stem in another folder, each with it.

    A data set that is whole is read as `find_pairs` does, palettes and label ids among it; where masks or images are
    missing, masks are black and white, or plain indices.

    Raises:
        UserError: The folder is not there or empty, or has a mask of none of the images.
    """
    masks = {path.stem: path for path in image_files(mask_folder)}
    try:
        pairs = {pair.image: pair for pair in find_pairs(images[0].parent, mask_folder)}
    except UserError:
        pairs = {path: ImagePair(path.stem, path, masks[path.stem]) for path in images if path.stem in masks}
    found = {path: pairs[path] for path in images if path in pairs}
    if not found:
        raise UserError(
            f"The folder {mask_folder} has no mask for any of the images; a mask is called as its image is."
        )
    return found
