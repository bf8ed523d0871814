"""Data sets of images with masks: where the files are, how they are paired, read and split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .images import SUFFIXES, read_image, read_mask
from .index_masks import CITYSCAPES_CLASSES, CITYSCAPES_LABEL_IDS, MaskEncoding, read_index_mask, read_palette

_MASK_FOLDERS = ("labels", "masks")
_SPLIT_FOLDERS = {
    "training": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_PALETTES = ("palette.json", "palette.txt")
# What Cityscapes adds to the names of its images and masks, and how those masks are written.
_IMAGE_ENDING = "_leftImg8bit"
_MASK_ENDINGS = {
    "_gtFine_labelIds": MaskEncoding(CITYSCAPES_CLASSES, label_ids=CITYSCAPES_LABEL_IDS),
    "_gtFine_labelTrainIds": MaskEncoding(CITYSCAPES_CLASSES),
}


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

    Masks with the names of Cityscapes (`<stem>_gtFine_labelIds.png` beside `<stem>_leftImg8bit.png`) are read by its
    label ids, and colour masks by `palette.json` or `palette.txt` in the folder or the one above, if there is one.

    Args:
        folder: A folder with `images/` and `labels/` or `masks/` in it (VessMAP's layout; `skeletons/` may be there
            too), or, if `mask_folder` is given, the folder of the images themselves.
        mask_folder: The folder of the masks.
        encoding: How the masks are written, instead of what the names and palettes say.

    Returns:
        One pair per image, at least one. Hidden files are left out.

    Raises:
        UserError: A folder that is not there or empty, two files of one stem, or an image or mask without its partner.
    """
    folder = Path(folder)
    if mask_folder is None:
        image_folder, mask_folder = folder / "images", _mask_folder(folder)
    else:
        image_folder, mask_folder = folder, Path(mask_folder)
    images = {stem.removesuffix(_IMAGE_ENDING): path for stem, path in _files_by_stem(image_folder).items()}
    masks, ending = _without_ending(_files_by_stem(mask_folder))
    encoding = encoding or _MASK_ENDINGS.get(ending) or _palette_encoding(folder)
    _require_partners(images, mask_folder, masks, "image", "mask")
    _require_partners(masks, image_folder, images, "mask", "image")
    skeleton_folder = folder / "skeletons"
    skeletons = _files_by_stem(skeleton_folder) if skeleton_folder.is_dir() else {}
    return tuple(ImagePair(stem, images[stem], masks[stem], skeletons.get(stem), encoding) for stem in images)


def find_split(folder: str | Path, encoding: MaskEncoding | None = None) -> Split | None:
    """The split that a data set comes with: `train/`, `val/` and maybe `test/`, each laid out as for `find_pairs`.

    None where the folder is not divided like this. `encoding` and errors as for `find_pairs`.
    """
    folder = Path(folder)
    parts: dict[str, tuple[ImagePair, ...]] = {}
    for part, names in _SPLIT_FOLDERS.items():
        found = [folder / name for name in names if (folder / name / "images").is_dir()]
        parts[part] = find_pairs(found[0], encoding=encoding) if found else ()
    return Split(**parts) if parts["training"] and parts["validation"] else None


def sample_images(folder: str | Path) -> list[Path]:
    """The images of every data set in a folder: `<set>/images/` and `<set>/<split>/images/`, sorted by path."""
    folder = Path(folder)
    found = [*folder.glob("*/images/*"), *folder.glob("*/*/images/*")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def mask_beside(image: Path) -> Path | None:
    """The mask of an image in a folder `images/`: the file of its stem in `labels/` or `masks/` beside it, if any."""
    return masks_beside(image.parent).get(image.stem)


def masks_beside(images: Path) -> dict[str, Path]:
    """The masks of the images in a folder `images/`, by the images' stems: see `mask_beside`."""
    found: dict[str, Path] = {}
    for folder in (images.parent / name for name in _MASK_FOLDERS):
        files = {path.stem: path for path in sorted(folder.glob("*"), reverse=True) if not path.name.startswith(".")}
        masks, ending = _without_ending(files)
        found = {f"{stem}{_IMAGE_ENDING}" if ending else stem: path for stem, path in masks.items()} | found
    return found


def read_mask_beside(mask: Path) -> NDArray[np.int64]:
    """The class indices (H, W) of a mask that `mask_beside` found, read as its name or a palette near it says.

    Raises:
        UserError: As for `read_mask` and `read_index_mask`.
    """
    endings = (encoding for ending, encoding in _MASK_ENDINGS.items() if mask.stem.endswith(ending))
    encoding = next(endings, None) or _palette_encoding(mask.parents[1])
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
    if not 0 < validation < 1 or not 0 <= test < 1 or validation + test >= 1:
        raise UserError(
            f"The fractions for validation ({validation:g}) and test ({test:g}) must be at least 0 and leave images "
            "for training; validation needs some too."
        )
    shuffled = sorted(pairs, key=lambda pair: _numbers_by_value(pair.stem))
    np.random.default_rng(seed).shuffle(shuffled)
    first = max(1, round(test * len(pairs))) if test else 0
    second = first + max(1, round(validation * len(pairs)))
    if second >= len(pairs):
        raise UserError(
            f"{len(pairs)} images are too few to split into training, validation and test; add images, or lower the "
            "fractions."
        )
    parts = (shuffled[second:], shuffled[first:second], shuffled[:first])
    return Split(*(tuple(sorted(part, key=lambda pair: _numbers_by_value(pair.stem))) for part in parts))


def _mask_folder(folder: Path) -> Path:
    found = [folder / name for name in _MASK_FOLDERS if (folder / name).is_dir()]
    if not (folder / "images").is_dir() or not found:
        splits = [path.name for path in sorted(folder.glob("*")) if (path / "images").is_dir()]
        if splits:
            raise UserError(f"The folder {folder} is divided into {', '.join(splits)}; give one of these folders.")
        raise UserError(
            f"The folder {folder} does not hold a data set: it needs images/ beside labels/ or masks/, or give the "
            "folder of the masks too."
        )
    if len(found) > 1:
        raise UserError(f"The folder {folder} has both labels/ and masks/; name the folder of the masks.")
    return found[0]


def _files_by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; give the folder that holds the files.")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (_numbers_by_value(path.stem), path.name)):
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.stem in files:
            raise UserError(
                f"The folder {folder} has two files called {path.stem} ({files[path.stem].name} and {path.name}); "
                "remove one of them."
            )
        files[path.stem] = path
    if not files:
        raise UserError(f"The folder {folder} is empty; put the files into it, or give another folder.")
    return files


def _without_ending(files: dict[str, Path]) -> tuple[dict[str, Path], str]:
    """The masks by the stem of their image, and the ending of their names; other files are left out."""
    for ending in _MASK_ENDINGS:
        masks = {stem.removesuffix(ending): path for stem, path in files.items() if stem.endswith(ending)}
        if masks:
            return masks, ending
    return files, ""


def _palette_encoding(folder: Path) -> MaskEncoding | None:
    paths = (place / name for place in (folder, folder.parent) for name in _PALETTES)
    found = next(filter(Path.is_file, paths), None)
    return read_palette(found) if found else None


def _require_partners(
    files: dict[str, Path], other_folder: Path, others: dict[str, Path], what: str, partner: str
) -> None:
    lonely = [path.name for stem, path in files.items() if stem not in others]
    if lonely:
        more = f" and {len(lonely) - 1} more" if len(lonely) > 1 else ""
        raise UserError(
            f"The {what} {lonely[0]}{more} has no {partner} of the same name in {other_folder}; add it, or remove "
            f"the {what}."
        )


def _numbers_by_value(stem: str) -> tuple[int, int, str]:
    return (0, int(stem), stem) if stem.isdecimal() else (1, 0, stem)
