"""The images of a data set to look through: listed at once by their names, then put in order by what they hold."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .images import read_mask
from .index_masks import MaskEncoding, read_index_mask
from .layouts import find_files, numbers_by_value, split_folders
from .reports import ImageFacts

Order = Literal["name", "part", "size", "brightness", "class share"]


@dataclass(frozen=True, eq=False)
class ListedImage:
    """An image of a data set, of which nothing but the name has been read.

    Attributes:
        part: "training", "validation" or "test"; empty in a data set that is not divided.
        stem: Name that image and mask share.
        image: File of the image.
        mask: File of the mask; None without one.
        encoding: How the mask is written, where it is neither black and white nor plain indices.
    """

    part: str
    stem: str
    image: Path
    mask: Path | None = None
    encoding: MaskEncoding | None = None

    @property
    def name(self) -> str:
        """The part and the stem, as `ImageFacts.name`."""
        return f"{self.part}/{self.stem}" if self.part else self.stem


def list_images(folder: str | Path, masks: str | Path | None = None) -> tuple[ListedImage, ...]:
    """All images of a data set by part and stem, those without a mask too; arguments as for `inspect_data_set`.

    Raises:
        UserError: The folder holds no data set, or none of its parts does.
    """
    parts = split_folders(folder) if masks is None else {}
    if not parts:
        return _listed("", Path(folder), masks)
    found: list[ListedImage] = []
    errors: list[UserError] = []
    for part, place in parts.items():
        try:
            found += _listed(part, place)
        except UserError as error:  # the inspection tells it; the other parts can be looked through
            errors.append(error)
    if errors and not found:
        raise errors[0]
    return tuple(found)


def read_labels(image: ListedImage) -> NDArray[np.int64]:
    """The class indices (H, W) of an image's mask.

    Raises:
        UserError: It has none, or as for `read_mask` and `read_index_mask`.
    """
    if image.mask is None:
        raise UserError(f"The image {image.name} has no mask; add it.")
    return read_mask(image.mask) if image.encoding is None else read_index_mask(image.mask, image.encoding)


def in_order(
    listed: Sequence[ListedImage],
    facts: Iterable[ImageFacts],
    order: Order,
    *,
    class_index: int = 1,
    descending: bool = False,
) -> tuple[ListedImage, ...]:
    """The images in an order; ties keep the order of `listed`, and images without facts or a share come last.

    Args:
        listed: The images, in the order of `list_images`.
        facts: What is known of them.
        order: By name, by part and then name, by number of pixels, by mean intensity, or by the share of a class.
        class_index: The class, for "class share".
        descending: Whether the largest come first.
    """
    if order in ("name", "part"):
        places = {image: place for place, image in enumerate(listed)}
        names: dict[str, Callable[[ListedImage], tuple[object, ...]]] = {
            "name": lambda image: (numbers_by_value(image.stem), places[image]),
            "part": lambda image: (places[image],),
        }
        return tuple(sorted(listed, key=names[order], reverse=descending))
    measures: dict[str, Callable[[ImageFacts], float]] = {
        "size": lambda each: each.height * each.width,
        "brightness": lambda each: each.brightness,
        "class share": lambda each: each.class_share(class_index),
    }
    values = {each.pair.image: measures[order](each) for each in facts}
    known = [image for image in listed if not math.isnan(values.get(image.image, math.nan))]
    unknown = [image for image in listed if math.isnan(values.get(image.image, math.nan))]
    return (*sorted(known, key=lambda image: values[image.image], reverse=descending), *unknown)


def _listed(part: str, folder: Path, masks: str | Path | None = None) -> tuple[ListedImage, ...]:
    found = find_files(folder, masks)
    return tuple(
        ListedImage(part, stem, paths[0], found.masks.get(stem, [None])[0], found.encoding)
        for stem, paths in found.images.items()
    )
