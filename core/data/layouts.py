"""Where the images and masks of a data set lie, and which belong together."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..errors import UserError
from .images import SUFFIXES
from .index_masks import CITYSCAPES_CLASSES, CITYSCAPES_LABEL_IDS, MaskEncoding, read_palette

IMAGE_FOLDERS = ("images", "imagesTr")
MASK_FOLDERS = ("labels", "masks", "labelsTr")
SPLIT_FOLDERS = {
    "training": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
ENCODED_MASK_ENDINGS = {
    "_gtFine_labelIds": MaskEncoding(CITYSCAPES_CLASSES, label_ids=CITYSCAPES_LABEL_IDS),
    "_gtFine_labelTrainIds": MaskEncoding(CITYSCAPES_CLASSES),
}
"""What Cityscapes adds to the names of its masks, and how those masks are written."""
_PALETTES = ("palette.json", "palette.txt")
# What published data sets add to the names of images and masks: nnU-Net numbers the channel, DRIVE names the part.
_IMAGE_ENDINGS = ("", "_leftImg8bit", "_0000", "_training", "_test", "_image", "_img")
_MASK_ENDINGS = (
    "", *ENCODED_MASK_ENDINGS, "_mask", "_masks", "_manual1", "_manual", "_label", "_labels", "_seg", "_segmentation",
    "_gt", "_1stHO", "_annotation",
)  # fmt: skip


@dataclass(frozen=True)
class FoundFiles:
    """The files of one folder of images and one of masks, by the stem that both share, sorted by it.

    Attributes:
        image_folder: Folder of the images.
        mask_folder: Folder of the masks.
        images: Files of the images; more than one where a stem is not unique.
        masks: Files of the masks, likewise.
        skeletons: File of the centre lines, where there is one.
        others: Files that are neither PNG, JPEG nor TIFF.
        encoding: How the masks are written, where it is neither black and white nor plain indices.
    """

    image_folder: Path
    mask_folder: Path
    images: dict[str, list[Path]]
    masks: dict[str, list[Path]]
    skeletons: dict[str, Path]
    others: tuple[Path, ...]
    encoding: MaskEncoding | None

    def without_partner(self) -> list[tuple[str, Path]]:
        """The images that have no mask and the masks that have no image: which of the two it is, and the file."""
        images = [("image", paths[0]) for stem, paths in self.images.items() if stem not in self.masks]
        return images + [("mask", paths[0]) for stem, paths in self.masks.items() if stem not in self.images]


def find_files(
    folder: str | Path, mask_folder: str | Path | None = None, encoding: MaskEncoding | None = None
) -> FoundFiles:
    """The images and masks of a data set, whatever is wrong with them; arguments as for `find_pairs`.

    Raises:
        UserError: A folder that is not there or does not hold a data set.
    """
    folder = Path(folder)
    if mask_folder is None:
        image_folder, mask_folder = _folders(folder)
    else:
        image_folder, mask_folder = folder, Path(mask_folder)
    images, masks, others, known = match_files(image_folder, mask_folder)
    skeletons = _files(folder / "skeletons")[0] if (folder / "skeletons").is_dir() else []
    return FoundFiles(
        image_folder,
        mask_folder,
        images,
        masks,
        {path.stem: path for path in skeletons},
        others,
        encoding or known or palette_encoding(folder),
    )


def match_files(
    image_folder: Path, mask_folder: Path
) -> tuple[dict[str, list[Path]], dict[str, list[Path]], tuple[Path, ...], MaskEncoding | None]:
    """The images and the masks by the stem that both share, other files, and the encoding that the names tell.

    Raises:
        UserError: One of the folders is not there.
    """
    (images, other_images), (masks, other_masks) = _files(image_folder), _files(mask_folder)
    image_ending, mask_ending = _endings({path.stem for path in images}, {path.stem for path in masks})
    known = ENCODED_MASK_ENDINGS.get(mask_ending)
    if known is not None:  # Cityscapes keeps other pictures of an image beside its mask
        masks = [path for path in masks if path.stem.endswith(mask_ending)]
    others = (*other_images, *other_masks)
    return _by_stem(images, image_ending), _by_stem(masks, mask_ending), others, known


def split_folders(folder: str | Path) -> dict[str, Path]:
    """The folders of a data set that is divided, by "training", "validation" and "test"; those that it has."""
    folders = {part: [Path(folder) / name for name in names] for part, names in SPLIT_FOLDERS.items()}
    found = {part: [place for place in places if _image_folder(place)] for part, places in folders.items()}
    return {part: places[0] for part, places in found.items() if places}


def palette_encoding(folder: Path) -> MaskEncoding | None:
    """The encoding by the palette in a folder, or in the one above; None without one."""
    paths = (place / name for place in (folder, folder.parent) for name in _PALETTES)
    found = next(filter(Path.is_file, paths), None)
    return read_palette(found) if found else None


def numbers_by_value(stem: str) -> tuple[int, int, str]:
    """Key that sorts stems by name, and those that are numbers by value."""
    return (0, int(stem), stem) if stem.isdecimal() else (1, 0, stem)


def _image_folder(folder: Path) -> Path | None:
    return next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), None)


def _folders(folder: Path) -> tuple[Path, Path]:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; give the folder of a data set.")
    images, masks = _image_folder(folder), [folder / name for name in MASK_FOLDERS if (folder / name).is_dir()]
    if images is None or not masks:
        splits = [path.name for path in sorted(folder.glob("*")) if _image_folder(path)]
        if splits:
            raise UserError(f"The folder {folder} is divided into {', '.join(splits)}; give one of these folders.")
        raise UserError(
            f"The folder {folder} does not hold a data set: it needs images/ beside labels/ or masks/, or give the "
            "folder of the masks too."
        )
    if len(masks) > 1:
        names = " and ".join(f"{path.name}/" for path in masks)
        raise UserError(f"The folder {folder} has both {names}; name the folder of the masks.")
    return images, masks[0]


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images in a folder and its other files, without the hidden ones, sorted by stem."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; give the folder that holds the files.")
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    files.sort(key=lambda path: (numbers_by_value(path.stem), path.name))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    return images, [path for path in files if path.suffix.lower() not in SUFFIXES]


def _endings(images: set[str], masks: set[str]) -> tuple[str, str]:
    """The endings of the images' and the masks' names without which most of them match."""
    images_without = {ending: {stem.removesuffix(ending) for stem in images} for ending in _IMAGE_ENDINGS}
    masks_without = {ending: {stem.removesuffix(ending) for stem in masks} for ending in _MASK_ENDINGS}
    pairs = product(_IMAGE_ENDINGS, _MASK_ENDINGS)
    return max(pairs, key=lambda pair: len(images_without[pair[0]] & masks_without[pair[1]]))


def _by_stem(files: Iterable[Path], ending: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.stem.removesuffix(ending), []).append(path)
    return dict(sorted(found.items(), key=lambda item: numbers_by_value(item[0])))
