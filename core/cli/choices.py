"""What commands that explain many images let the user choose, beside `core.cli.options`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.data.images import image_files
from core.data.layout import ImagePair, find_pairs
from core.errors import UserError
from core.segmenter import Segmenter

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
