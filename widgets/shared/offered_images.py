"""The images that can be chosen: uploads, folders named when the app was started, and samples."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from core.data import data_sets
from core.data.data_sets import masks_beside, read_mask_beside
from core.data.decoding import count_channels
from core.data.images import SUFFIXES, LoadedImage, Scaling, load_image, read_mask
from core.data.layouts import MASK_FOLDERS
from core.errors import UserError
from core.segmenter import Segmenter
from widgets.shared.data_sets import your_data_sets
from widgets.shared.results import results
from widgets.shared.start_arguments import repeated
from widgets.shared.uploads import kept_uploads

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
YOURS = "Yours"
_NOT_IMAGES = {*MASK_FOLDERS, "skeletons"}
_DEPTH = 3
"""Folders below a folder of images that are looked into: `<set>/<split>/images`."""
_LOOKED_AT = 64
"""Images of a group whose headers are read to find one that fits the network."""


@dataclass(frozen=True)
class OfferedImage:
    """An image that can be chosen.

    Attributes:
        name: Name on screen and in the URL.
        group: `YOURS`, or the name of a folder or of a set of samples.
        path: The file.
        file_name: Its name, for messages.
        truth: The file of the ground truth; None without one.
        hash: Hash of an upload's content; "" for other files.
        truth_name: Name of an upload's ground truth, for messages.
        truth_hash: Hash of its content.
        known_channels: Number of channels of an upload.
        is_sample: Whether the project ships it.
    """

    name: str
    group: str
    path: Path
    file_name: str
    truth: Path | None = None
    hash: str = ""
    truth_name: str = ""
    truth_hash: str = ""
    known_channels: int | None = None
    is_sample: bool = False

    @property
    def key(self) -> tuple[str | Path | float, ...]:
        """The same while the file is the same."""
        return (self.hash,) if self.hash else (self.path, _changed(self.path))

    @property
    def truth_key(self) -> tuple[str | Path | float, ...] | None:
        """The same while the ground truth is the same; None without one."""
        if self.truth is None:
            return None
        return (self.truth_hash,) if self.hash else (self.truth, _changed(self.truth))

    @property
    def channels(self) -> int | None:
        """Number of channels, from the file's header; None where that cannot be read."""
        if self.known_channels is not None:
            return self.known_channels
        return _channels_in(self.path, _changed(self.path))

    @property
    def address(self) -> str:
        """What a script reads it from: the path, for a sample below the project's folder, or the name of an upload."""
        return self.file_name if self.hash else _address(self.path)

    @property
    def truth_address(self) -> str:
        """The same of the ground truth; empty without one."""
        return self.truth_name if self.hash else "" if self.truth is None else _address(self.truth)

    def fits(self, segmenter: Segmenter) -> bool:
        """Whether the network takes the image as it is."""
        return self.channels == segmenter.in_channels

    def is_convertible(self, segmenter: Segmenter) -> bool:
        """Whether the network takes the image as it is or converted."""
        return self.channels is not None and is_convertible(self.channels, segmenter)

    def load(self, scaling: Scaling = "dtype") -> LoadedImage:
        """The image, decoded here."""
        if self.hash and not self.path.is_file():  # another tab may just have removed it
            raise UserError(f"{self.name} is no longer here; upload the file again.")
        return load_image(self.path, scaling, self.file_name)


def read_offered(image: OfferedImage, scaling: Scaling = "dtype") -> LoadedImage:
    """The image, decoded once for all sessions.

    Raises:
        UserError: As for `core.data.images.load_image`.
    """
    loaded = results().get_or_compute(("image file", *image.key, scaling), lambda: image.load(scaling))
    return replace(loaded, name=image.file_name)  # an upload's content may have come under another name


def read_truth(image: OfferedImage) -> np.ndarray | None:
    """The class index of each pixel, int64 (H, W), decoded once for all sessions; None without a ground truth.

    Raises:
        UserError: As for `core.data.images.read_mask`.
    """
    truth, key = image.truth, image.truth_key
    if truth is None or key is None:
        return None

    def read() -> np.ndarray:
        return read_mask(truth, image.truth_name) if image.hash else read_mask_beside(truth)

    return results().get_or_compute(("mask file", *key), read)


def offered_images(arguments: list[str] | None = None) -> dict[str, OfferedImage]:
    """All images that can be chosen, by name: uploads, then folders, then uploaded and opened data sets, then samples.

    Args:
        arguments: Those that the app was started with, unless given.

    Raises:
        UserError: An `--images` without a folder, or whose folder is not there or holds no image.
    """
    found = {
        name: OfferedImage(
            name, YOURS, upload.path, name, upload.truth, upload.hash, upload.truth_name, upload.truth_hash,
            upload.shape[0],
        )
        for name, upload in kept_uploads().items()
    }  # fmt: skip
    hint = "Name a folder of images after --images, as in `streamlit run app.py -- --images path/to/folder`."
    folders = [Path(folder).expanduser().resolve() for folder in repeated("--images", hint, arguments)]
    names = [folder.name for folder in folders]
    for folder in folders:
        title = folder.name if names.count(folder.name) == 1 else f"{folder.parent.name}/{folder.name}"
        found |= {image.name: image for image in images_in(folder, title) if image.name not in found}
    for title, folder in your_data_sets().items():
        with suppress(UserError):  # it may hold no image any more
            found |= {image.name: image for image in images_in(folder, title) if image.name not in found}
    return found | {name: image for name, image in sample_images().items() if name not in found}


def images_in(folder: Path, title: str = "") -> tuple[OfferedImage, ...]:
    """The images in a folder and in its subfolders, with the masks that `core.data.data_sets.mask_beside` finds.

    Folders of masks are left out, and hidden files. The names begin with the title, by default the folder's name.

    Raises:
        UserError: There is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; start the app with --images and a folder that holds images.")
    inside = tuple((path, _changed(path)) for path in _folders(folder))
    return _images_in(folder, title or folder.name, inside, tuple(_masks_changed(path) for path, _ in inside))


def sample_images() -> dict[str, OfferedImage]:
    """The sample images by name, e.g. "vessels/vessel_01"."""
    folders = tuple((folder, _changed(folder)) for folder in SAMPLES.glob("**/"))
    return dict(_samples_in(SAMPLES, folders))


def in_groups(offered: Iterable[OfferedImage], segmenter: Segmenter) -> dict[str, list[OfferedImage]]:
    """The images by group: uploads, folders, then samples.

    Of the samples, first those of the network, then those it takes.
    """
    groups: dict[str, list[OfferedImage]] = {}
    for image in offered:
        groups.setdefault(image.group, []).append(image)

    def rank(name: str) -> tuple[bool, bool, bool, bool]:
        first = groups[name][0]
        if not first.is_sample:
            return (False, False, False, False)
        return True, not first.fits(segmenter), name != segmenter.name, name != "vessels"

    return {name: groups[name] for name in sorted(groups, key=rank)}


def first_that_fits(offered: Iterable[OfferedImage], segmenter: Segmenter) -> OfferedImage:
    """The image that a network opens on: of a folder or a sample, one that it takes as it is if there is one."""
    groups = in_groups((image for image in offered if image.group != YOURS), segmenter).values()
    looked_at = [image for images in groups for image in islice(images, _LOOKED_AT)]
    for suits in (OfferedImage.fits, OfferedImage.is_convertible):
        for image in looked_at:
            if suits(image, segmenter):
                return image
    return looked_at[0]


def _address(path: Path) -> str:
    return str(path.relative_to(SAMPLES.parent)) if path.is_relative_to(SAMPLES) else str(path)


def is_convertible(channels: int, segmenter: Segmenter) -> bool:
    """Whether the network takes an image of so many channels, as it is or converted."""
    return channels in (1, segmenter.in_channels) or (channels, segmenter.in_channels) == (3, 1)


@lru_cache(maxsize=8)
def _samples_in(
    samples: Path,
    folders: tuple[tuple[Path, float], ...],  # noqa: ARG001 - a changed folder is another key
) -> dict[str, OfferedImage]:
    found: dict[str, OfferedImage] = {}
    for path in data_sets.sample_images(samples):
        data_set, *split = path.relative_to(samples).parts[:-2]
        name = f"{data_set}/{path.stem}"
        if name in found:
            name = f"{'/'.join((data_set, *split))}/{path.stem}"
        truth = data_sets.mask_beside(path)
        found[name] = OfferedImage(name, data_set, path, path.name, truth, is_sample=True)
    return found


@lru_cache(maxsize=8)
def _images_in(
    folder: Path,
    title: str,
    folders: tuple[tuple[Path, float], ...],
    masks: tuple[float, ...],  # noqa: ARG001 - changed masks are another key
) -> tuple[OfferedImage, ...]:
    found: list[OfferedImage] = []
    for inside, _ in folders:
        files = sorted(path for path in inside.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        files = [path for path in files if not path.name.startswith(".")]
        beside = masks_beside(inside) if files else {}
        stems = [path.stem for path in files]
        place = "/".join(part for part in inside.relative_to(folder).parts if part != "images")
        for path in files:
            own = path.stem if stems.count(path.stem) == 1 else path.name
            name = "/".join(part for part in (title, place, own) if part)
            found.append(OfferedImage(name, title, path, path.name, beside.get(path.stem)))
    if not found:
        raise UserError(
            f"The folder {folder} has no image in it ({', '.join(SUFFIXES)}); start the app with --images and another."
        )
    return tuple(found)


def _folders(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """The folder and those below it that may hold images."""
    yield folder
    if depth:
        with os.scandir(folder) as entries:
            below = sorted(entry.name for entry in entries if entry.is_dir())
        for name in below:
            if name not in _NOT_IMAGES and not name.startswith("."):
                yield from _folders(folder / name, depth - 1)


def _masks_changed(images: Path) -> float:
    return sum(_changed(images.parent / name) for name in sorted(_NOT_IMAGES))


def _changed(path: Path) -> float:
    """When a file or folder was changed last; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=4096)
def _channels_in(path: Path, changed: float) -> int | None:  # noqa: ARG001 - a changed file is another key
    try:
        return count_channels(path)
    except UserError:
        return None
