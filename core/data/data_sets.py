"""Data sets of images with masks: where the files are, how they are paired, read and split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .images import SUFFIXES, read_image, read_mask
from .index_masks import MaskEncoding, read_index_mask
from .layouts import (
    ENCODED_MASK_ENDINGS,
    MASK_FOLDERS,
    FoundFiles,
    find_files,
    match_files,
    numbers_by_value,
    palette_encoding,
    split_folders,
)


@dataclass(frozen=True)
class ImagePair:
    """Files of one image and its mask.

    Attributes:
        stem: File name without its suffix, shared by image and mask.
        image: File of the image.
        mask: File of the mask.
        skeleton: File of the mask's centre lines, where the data set has one.
        encoding: How the mask is written, where it is neither black and white nor plain indices.
    """

    stem: str
    image: Path
    mask: Path
    skeleton: Path | None = None
    encoding: MaskEncoding | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with its mask, in memory.

    Attributes:
        stem: Name in tables and messages.
        image: float32 (C, H, W) in [0, 1].
        mask: int64 (H, W), class indices; `core.data.index_masks.IGNORED` where a pixel has no class.
    """

    stem: str
    image: NDArray[np.float32]
    mask: NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a data set.

    Attributes:
        training: The network's weights are fitted to these.
        validation: For early stopping and the choice of the checkpoint.
        test: For the final scores only.
    """

    training: tuple[ImagePair, ...]
    validation: tuple[ImagePair, ...]
    test: tuple[ImagePair, ...]


def find_pairs(
    folder: str | Path, mask_folder: str | Path | None = None, encoding: MaskEncoding | None = None
) -> tuple[ImagePair, ...]:
    """Images and masks of a data set, paired by stem and sorted by it (numbers by value).

    Names may have an ending that the others lack (`a.png` and `a_mask.png`, `21_training.tif` and `21_manual1.tif`,
    nnU-Net's `a_0000.png` and `a.png`): the pair of endings counts with which most files match. Masks with the names
    of Cityscapes (`<stem>_gtFine_labelIds.png` beside `<stem>_leftImg8bit.png`) are read by its label ids, and colour
    masks by `palette.json` or `palette.txt` in the folder or the one above, if there is one.

    Args:
        folder: A folder with `images/` and `labels/` or `masks/` in it (VessMAP's layout; `skeletons/` may be there
            too) or `imagesTr/` and `labelsTr/` (nnU-Net's), or, if `mask_folder` is given, the folder of the images
            themselves.
        mask_folder: The folder of the masks.
        encoding: How the masks are written, instead of what the names and palettes say.

    Returns:
        One pair per image, at least one. Files that are hidden or neither PNG, JPEG nor TIFF are left out.

    Raises:
        UserError: A folder that is not there or empty, two files of one stem, or an image or mask without its partner.
    """
    found = find_files(folder, mask_folder, encoding)
    for place, files in ((found.image_folder, found.images), (found.mask_folder, found.masks)):
        if not files:
            raise UserError(f"The folder {place} is empty; put the files into it, or give another folder.")
        for stem, (path, *more) in files.items():
            if more:
                raise UserError(
                    f"The folder {place} has two files called {stem} ({path.name} and {more[0].name}); remove one of "
                    "them."
                )
    _require_partners(found)
    return tuple(
        ImagePair(stem, path, found.masks[stem][0], found.skeletons.get(stem), found.encoding)
        for stem, (path,) in found.images.items()
    )


def find_split(folder: str | Path, encoding: MaskEncoding | None = None) -> Split | None:
    """The split that a data set comes with: `train/`, `val/` and maybe `test/`, each laid out as for `find_pairs`.

    None where the folder is not divided like this. `encoding` and errors as for `find_pairs`.
    """
    folders = split_folders(folder)
    if not {"training", "validation"} <= folders.keys():
        return None
    parts = {part: find_pairs(place, encoding=encoding) for part, place in folders.items()}
    return Split(**{"test": ()} | parts)


def sample_images(folder: str | Path) -> list[Path]:
    """The images of every data set in a folder: `<set>/images/` and `<set>/<split>/images/`, sorted by path."""
    folder = Path(folder)
    found = [*folder.glob("*/images/*"), *folder.glob("*/*/images/*")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def mask_beside(image: Path) -> Path | None:
    """The mask in `labels/` or `masks/` beside the folder of an image, if any; its name as for `find_pairs`."""
    return masks_beside(image.parent).get(image.stem)


def masks_beside(images: Path) -> dict[str, Path]:
    """The masks of the images in a folder, by the images' stems: see `mask_beside`."""
    found: dict[str, Path] = {}
    for folder in (images.parent / name for name in MASK_FOLDERS):
        if images.is_dir() and folder.is_dir():
            own, masks, _, _ = match_files(images, folder)
            found = {path.stem: masks[stem][0] for stem, (path, *_) in own.items() if stem in masks} | found
    return found


def read_mask_beside(mask: Path) -> NDArray[np.int64]:
    """The class indices (H, W) of a mask that `mask_beside` found, read as its name or a palette near it says.

    Raises:
        UserError: As for `read_mask` and `read_index_mask`.
    """
    endings = (encoding for ending, encoding in ENCODED_MASK_ENDINGS.items() if mask.stem.endswith(ending))
    encoding = next(endings, None) or palette_encoding(mask.parents[1])
    return read_mask(mask) if encoding is None else read_index_mask(mask, encoding)


def read_pair(pair: ImagePair) -> Sample:
    """Read an image and its mask.

    Raises:
        UserError: A file that cannot be read, or a mask of another size than the image.
    """
    image = read_image(pair.image)
    mask = read_mask(pair.mask) if pair.encoding is None else read_index_mask(pair.mask, pair.encoding)
    if image.shape[1:] != mask.shape:
        raise UserError(
            f"The image {pair.image.name} is {image.shape[1]}×{image.shape[2]} pixels and its mask {pair.mask.name} "
            f"{mask.shape[0]}×{mask.shape[1]}; both must be of one size."
        )
    return Sample(pair.stem, np.asarray(image, np.float32), np.asarray(mask, np.int64))


def split_pairs(pairs: Sequence[ImagePair], validation: float, test: float, seed: int = 0) -> Split:
    """Split a data set at random into training, validation and test images.

    Args:
        pairs: The data set.
        validation: Fraction of the images for validation, in (0, 1); at least one image.
        test: Fraction for the test, in [0, 1); 0 leaves the test part empty, otherwise it has at least one image.
        seed: Seed of the shuffle. The same pairs and seed give the same split, whatever their order.

    Raises:
        UserError: Fractions outside their range, or too few images to have one in each part.
    """
    check_fractions(validation, test)
    shuffled = sorted(pairs, key=lambda pair: numbers_by_value(pair.stem))
    np.random.default_rng(seed).shuffle(shuffled)
    first = max(1, round(test * len(pairs))) if test else 0
    second = first + max(1, round(validation * len(pairs)))
    if second >= len(pairs):
        raise UserError(
            f"{len(pairs)} images are too few to split into training, validation and test; add images, or lower the "
            "fractions."
        )
    parts = (shuffled[second:], shuffled[first:second], shuffled[:first])
    return Split(*(tuple(sorted(part, key=lambda pair: numbers_by_value(pair.stem))) for part in parts))


def check_fractions(validation: float, test: float) -> None:
    """Raises `UserError` unless the fractions leave images for training and for validation."""
    if not 0 < validation < 1 or not 0 <= test < 1 or validation + test >= 1:
        raise UserError(
            f"The fractions for validation ({validation:g}) and test ({test:g}) must be at least 0 and leave images "
            "for training; validation needs some too."
        )


def _require_partners(found: FoundFiles) -> None:
    lonely = found.without_partner()
    if not lonely:
        return
    what, path = lonely[0]
    partner, place = ("mask", found.mask_folder) if what == "image" else ("image", found.image_folder)
    same = sum(kind == what for kind, _ in lonely) - 1
    more = f" and {same} more" if same else ""
    raise UserError(
        f"The {what} {path.name}{more} has no {partner} of the same name in {place}; add it, or remove the {what}."
    )
