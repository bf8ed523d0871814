"""How a data set of images and masks lies on disk, and how it is split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.images import read_image, read_mask
from core.errors import UserError

_MASK_FOLDERS = ("labels", "masks")


@dataclass(frozen=True)
class ImagePair:
    """Where one image and its mask lie.

    Attributes:
        stem: File name without its suffix, shared by image and mask.
        image: The image's file.
        mask: The mask's file.
        skeleton: The file of the mask's centre lines, where the data set has one.
    """

    stem: str
    image: Path
    mask: Path
    skeleton: Path | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with its mask, in memory.

    Attributes:
        stem: What to call it.
        image: float32 (C, H, W) in [0, 1].
        mask: int64 (H, W), class indices.
    """

    stem: str
    image: NDArray[np.float32]
    mask: NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a data set.

    Attributes:
        training: The network's weights are fitted to these.
        validation: Early stopping and the choice of the checkpoint look at these.
        test: Nothing looks at these but the final scores.
    """

    training: tuple[ImagePair, ...]
    validation: tuple[ImagePair, ...]
    test: tuple[ImagePair, ...]


def find_pairs(folder: str | Path, mask_folder: str | Path | None = None) -> tuple[ImagePair, ...]:
    """Images and masks of a data set, paired by stem and sorted by it (numbers by value).

    Args:
        folder: A folder with `images/` and `labels/` or `masks/` in it (VessMAP's layout; `skeletons/` may be there
            too), or, if `mask_folder` is given, the folder of the images themselves.
        mask_folder: The folder of the masks.

    Returns:
        One pair an image, at least one. Hidden files are passed over.

    Raises:
        UserError: A folder that is not there or empty, two files of one stem, or an image or mask without its partner.
    """
    folder = Path(folder)
    if mask_folder is None:
        image_folder, mask_folder = folder / "images", _mask_folder(folder)
    else:
        image_folder, mask_folder = folder, Path(mask_folder)
    images, masks = _files_by_stem(image_folder), _files_by_stem(mask_folder)
    _require_partners(images, mask_folder, masks, "image", "mask")
    _require_partners(masks, image_folder, images, "mask", "image")
    skeleton_folder = folder / "skeletons"
    skeletons = _files_by_stem(skeleton_folder) if skeleton_folder.is_dir() else {}
    return tuple(ImagePair(stem, images[stem], masks[stem], skeletons.get(stem)) for stem in images)


def read_pair(pair: ImagePair) -> Sample:
    """Read an image and its mask.

    Raises:
        UserError: A file that cannot be read, or a mask of another size than the image.
    """
    image, mask = read_image(pair.image), read_mask(pair.mask)
    if image.shape[1:] != mask.shape:
        raise UserError(
            f"The image {pair.image.name} is {_size(image.shape[1:])} pixels and its mask {pair.mask.name} "
            f"{_size(mask.shape)}; both must be of one size."
        )
    return Sample(pair.stem, np.asarray(image, np.float32), np.asarray(mask, np.int64))


def split_pairs(pairs: Sequence[ImagePair], validation: float, test: float, seed: int = 0) -> Split:
    """Split a data set at random into training, validation and test images.

    Args:
        pairs: The data set.
        validation: Fraction of the images for validation, in (0, 1); at least one image.
        test: Fraction for the test, in [0, 1); 0 leaves the test part empty, otherwise it has at least one image.
        seed: Of the shuffle. The same pairs and seed give the same split, whatever their order.

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


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}×{shape[1]}"
