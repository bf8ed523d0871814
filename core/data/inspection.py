"""What is wrong with a data set, all of it at once, and what its images and masks hold."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .data_sets import ImagePair
from .decoding import decode_image, read_shape
from .fingerprints import SIDE, Duplicate, find_duplicates, fingerprint, pixel_hash
from .images import classes_of_mask, scale_intensities
from .index_masks import IGNORED, classes_by_encoding
from .layouts import FoundFiles, find_files, split_folders
from .reports import DataSetReport, ImageFacts, Issue, Kind, MaskForm, Severity, relative_to_set

Progress = Callable[[int, int], object]
Found = tuple[Kind, Path, str]
"""Kind of an issue, the file and the sentence."""
PartPair = tuple[str, ImagePair]
"""A pair and the part of the data set that it belongs to."""
Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST, FEW = 3, 10
"""A network cannot be trained, validated and tested on fewer images; below the second number there is a warning."""
HISTOGRAM_BINS = 256
_THREADS = min(4, os.cpu_count() or 1)
_WARNINGS: tuple[Kind, ...] = ("other file", "constant image", "no foreground", "copies")


def inspect_data_set(
    folder: str | Path,
    masks: str | Path | None = None,
    class_names: Sequence[str] = (),
    progress: Progress | None = None,
) -> DataSetReport:
    """Look through a data set: everything that is wrong with it, and what its images and masks hold.

    Headers are read first, then the pixels of those images whose header and mask agree, a few files at a time.

    Args:
        folder: A data set as for `find_pairs`, or one that is divided as for `find_split`.
        masks: Folder of the masks, where `folder` is that of the images.
        class_names: One name per class; a class beyond them is an error. Without names, those of the palette or of
            Cityscapes, else as many classes as the masks hold.
        progress: Called with the number of steps done and their total; what it raises stops the inspection.

    Raises:
        UserError: The folder holds no data set at all.
    """
    folder = Path(folder)
    check = _Inspection(folder, tuple(class_names))
    parts = split_folders(folder) if masks is None else {}
    if parts:
        for part, place in parts.items():
            try:
                check.add_part(part, find_files(place))
            except UserError as error:
                check.note("empty folder", place, str(error))
    else:
        check.add_part("", find_files(folder, masks))
    return check.report(progress)


class _Inspection:
    """An inspection on its way: what has been found so far."""

    def __init__(self, folder: Path, class_names: tuple[str, ...]) -> None:
        self.folder, self.class_names = folder, class_names
        self.issues: list[Issue] = []
        self.pairs: list[PartPair] = []
        self.histogram: NDArray[np.int64] | None = None

    def note(self, kind: Kind, path: Path, sentence: str, severity: Severity | None = None) -> None:
        severity = severity or ("warning" if kind in _WARNINGS else "error")
        self.issues.append(Issue(kind, relative_to_set(path, self.folder), sentence, severity))

    def add_part(self, part: str, found: FoundFiles) -> None:
        """Note what the names of the files say, and keep the pairs."""
        for place, files in ((found.image_folder, found.images), (found.mask_folder, found.masks)):
            if not files:
                self.note("empty folder", place, f"The folder {place} has no PNG, JPEG or TIFF file in it; add some.")
            for stem, paths in files.items():
                for path in paths[1:]:
                    sentence = f"{path.name} and {paths[0].name} are both called {stem}; remove one of them."
                    self.note("duplicate stem", path, sentence)
        for what, path in found.without_partner():
            partner, place = ("mask", found.mask_folder) if what == "image" else ("image", found.image_folder)
            sentence = f"The {what} {path.name} has no {partner} in {place.name}/; add it, or remove the {what}."
            self.note("image without mask" if what == "image" else "mask without image", path, sentence)
        for path in found.others:
            self.note("other file", path, f"{path.name} is left out: it is neither PNG, JPEG nor TIFF; convert it.")
        for stem, paths in found.images.items():
            if stem in found.masks:
                mask, skeleton = found.masks[stem][0], found.skeletons.get(stem)
                self.pairs.append((part, ImagePair(stem, paths[0], mask, skeleton, found.encoding)))

    def report(self, progress: Progress | None) -> DataSetReport:
        total = 2 * len(self.pairs)
        shapes = _in_threads(_channels, self.pairs, progress, 0, total)
        sound = [
            (pair, channels)
            for pair, (channels, issues) in zip(self.pairs, shapes, strict=True)
            if not self._note_all(issues)
        ]
        alike = self._of_usual_channels(sound)
        images: list[ImageFacts] = []
        before = total - len(alike)
        for found, issues in _in_threads(self._look_at, alike, progress, before, total):
            self._note_all(issues)
            if found is not None:
                images.append(found[0])
                self.histogram = found[1] if self.histogram is None else self.histogram + found[1]
        self._note_what_all_show(images)
        duplicates = self._duplicates(images)
        self.issues.sort(key=lambda issue: issue.severity)
        return DataSetReport(
            self.folder,
            tuple(self.issues),
            tuple(images),
            self._given_names() or _numbers(images),
            _mask_words(images),
            tuple(duplicates),
            self.histogram,
        )

    def _note_all(self, issues: Sequence[Found]) -> bool:
        for issue in issues:
            self.note(*issue)
        return bool(issues)

    def _of_usual_channels(self, pairs: list[tuple[PartPair, int]]) -> list[PartPair]:
        counts = Counter(channels for _, channels in pairs)
        usual = counts.most_common(1)[0][0] if counts else 0
        for (_, pair), channels in pairs:
            if channels != usual:
                self.note(
                    "other channels",
                    pair.image,
                    f"The image {pair.image.name} has {channels} channels and most have {usual}; all images need the "
                    "same channels.",
                )
        return [item for item, channels in pairs if channels == usual]

    def _look_at(self, item: PartPair) -> tuple[tuple[ImageFacts, NDArray[np.int64]] | None, list[Found]]:
        """What one image and its mask hold, with the histogram, and what is wrong with them."""
        part, pair = item
        issues: list[Found] = []
        image = stored = mask = None
        try:
            values, name, notes = decode_image(pair.image)
            image = scale_intensities(values, "dtype", name, notes)
        except (UserError, OSError, MemoryError) as error:
            issues.append(("unreadable", pair.image, _sentence(error, pair.image)))
        try:
            keep_palette = pair.encoding is None or pair.encoding.palette is None
            stored, mask_name, _ = decode_image(pair.mask, keep_palette=keep_palette)
            mask = _classes(stored, pair, mask_name)
        except (UserError, OSError, MemoryError) as error:
            kind: Kind = "unreadable" if stored is None else "unknown class" if pair.encoding else "not a mask"
            issues.append((kind, pair.mask, _sentence(error, pair.mask) + _colours_in(stored, kind)))
        if image is None or stored is None or mask is None:
            return None, issues
        is_constant = bool((values == values[:, :1, :1]).all())
        if is_constant:
            sentence = f"The image {name} has the same value everywhere; is it the right file? If not, remove it."
            issues.append(("constant image", pair.image, sentence))
        classes, counts = np.unique(mask, return_counts=True)
        beyond = [index for index in classes.tolist() if index != IGNORED and index >= len(self.class_names) > 0]
        if beyond:
            sentence = (
                f"The mask {mask_name} holds the class {beyond[-1]}, but only {len(self.class_names)} classes are "
                f"named: {', '.join(self.class_names)}."
            )
            issues.append(("unknown class", pair.mask, sentence))
        channels, height, width = image.shape
        facts = ImageFacts(
            part=part,
            pair=pair,
            channels=channels,
            height=height,
            width=width,
            stored_as=str(values.dtype),
            brightness=float(image.mean(dtype=np.float64)),
            contrast=float(image.std(dtype=np.float64)),
            is_constant=is_constant,
            class_counts=dict(zip(classes.tolist(), counts.tolist(), strict=True)),
            mask_form=_form(stored, pair),
            pixel_hash=pixel_hash(values),
            fingerprint=fingerprint(image),
        )
        return (facts, _histogram(image)), issues

    def _note_what_all_show(self, images: list[ImageFacts]) -> None:
        """Note what only shows when all images are known."""
        if any(image.mask_form == "class indices" for image in images):
            for image in images:
                if image.mask_form == "0 and 255":
                    name = image.pair.mask.name
                    self.note(
                        "mixed masks", image.pair.mask,
                        f"The mask {name} holds 0 and 255, which is read as the classes 0 and 1, while other masks "
                        "hold class indices, where 255 is ignored; write the indices themselves.",
                    )  # fmt: skip
        if images and not any(set(image.class_counts) - {0, IGNORED} for image in images):
            self.note("no foreground", self.folder, "None of the masks has anything but background; check the masks.")
        held = {index for image in images for index in image.class_counts} - {IGNORED}
        if held and not self._given_names() and len(held) <= max(held):
            numbers = ", ".join(map(str, sorted(held)))
            sentence = (
                f"The masks hold the classes {numbers} with gaps between; name the classes to have others refused."
            )
            self.note("unknown class", self.folder, sentence, "warning")
        if self.pairs and len(images) < FEW:
            words = "1 image" if len(images) == 1 else f"{len(images)} images"
            severity: Severity = "warning"
            why = f"scores on fewer than {FEW} mean little"
            if len(images) < FEWEST:
                severity, why = "error", f"training, validation and test need {FEWEST} at least"
            sentence = f"The data set has only {words} that can be used; {why}, so add images."
            self.note("few images", self.folder, sentence, severity)

    def _duplicates(self, images: list[ImageFacts]) -> list[Duplicate]:
        if not images:
            return []
        prints = np.stack([image.fingerprint for image in images]).reshape(-1, SIDE, SIDE)
        parts = [image.part for image in images]
        found = find_duplicates([image.pixel_hash for image in images], prints, parts if any(parts) else None)
        for pair in found:
            first, second = images[pair.first], images[pair.second]
            if first.is_constant and second.is_constant:
                continue  # told already
            how = "the same pixels" if pair.is_exact else f"a correlation of {pair.similarity:.2f}, {pair.orientation}"
            self.note(
                "copies", second.pair.image,
                f"{second.name} looks like a copy of {first.name} ({how}); keep both in one part, or remove one.",
            )  # fmt: skip
        return found

    def _given_names(self) -> tuple[str, ...]:
        encodings = (pair.encoding for _, pair in self.pairs if pair.encoding is not None)
        return self.class_names or next((encoding.class_names for encoding in encodings), ())


def _channels(item: PartPair) -> tuple[int, list[Found]]:
    """The channels of an image, and what the headers of image and mask say is wrong."""
    pair = item[1]
    issues: list[Found] = []
    shapes = {}
    for what, path in (("image", pair.image), ("mask", pair.mask), ("skeleton", pair.skeleton)):
        if path is not None:
            try:
                shapes[what] = path, read_shape(path)
            except (UserError, OSError) as error:
                issues.append(("unreadable", path, _sentence(error, path)))
    if "image" not in shapes:
        return 0, issues
    image, (channels, height, width) = shapes.pop("image")
    for what, (path, (_, other_height, other_width)) in shapes.items():
        if (other_height, other_width) != (height, width):
            sentence = (
                f"The image {image.name} is {height}×{width} pixels and its {what} {path.name} "
                f"{other_height}×{other_width}; both must be of one size."
            )
            issues.append(("another size", path, sentence))
    return channels, issues


def _in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None, before: int, total: int
) -> Iterator[Result]:
    """The results in the order of the items; decoding leaves Python's lock to other threads."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for done, result in enumerate(pool.map(work, items), start=1):
            if progress is not None:
                progress(before + done, total)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _classes(stored: np.ndarray, pair: ImagePair, name: str) -> NDArray[np.int64]:
    if pair.encoding is None:
        return classes_of_mask(stored, name)
    return classes_by_encoding(stored, pair.encoding, name)


def _form(stored: np.ndarray, pair: ImagePair) -> MaskForm:
    if pair.encoding is not None and pair.encoding.palette is not None:
        return "colours"
    if pair.encoding is not None and pair.encoding.label_ids is not None:
        return "label ids"
    if pair.encoding is not None:
        return "class indices"
    low, high = int(stored.min()), int(stored.max())
    if high == 0:
        return "black"
    if high == 1:
        return "0 and 1"
    is_two_valued = low in (0, high) and bool(((stored == 0) | (stored == high)).all())
    return "0 and 255" if is_two_valued and high in (255, 65535) else "class indices"


def _numbers(images: Sequence[ImageFacts]) -> tuple[str, ...]:
    """The numbers of the classes up to the largest that a mask holds, at least two."""
    largest = max((index for image in images for index in image.class_counts if index != IGNORED), default=1)
    return tuple(map(str, range(max(largest, 1) + 1))) if images else ()


def _mask_words(images: Sequence[ImageFacts]) -> str:
    forms = Counter(image.mask_form for image in images)
    return ", ".join(f"{form} ({count})" for form, count in forms.most_common())


def _colours_in(stored: np.ndarray | None, kind: Kind) -> str:
    """The colours of a colour mask that has no palette, so that one can be written."""
    if kind != "not a mask" or stored is None or stored.shape[0] != 3 or stored.dtype != np.uint8:
        return ""
    colours = np.unique(stored.reshape(3, -1).T, axis=0)
    listed = ", ".join(str(tuple(colour)) for colour in colours[:8].tolist())
    more = f" and {len(colours) - 8} more" if len(colours) > 8 else ""
    return f" It holds the colours {listed}{more}; a palette.json beside the folders names the class of each."


def _histogram(image: np.ndarray) -> NDArray[np.int64]:
    bins = np.minimum(image * HISTOGRAM_BINS, HISTOGRAM_BINS - 1).astype(np.uint8)
    return np.stack([np.bincount(channel.ravel(), minlength=HISTOGRAM_BINS) for channel in bins])


def _sentence(error: Exception, path: Path) -> str:
    if isinstance(error, UserError):
        return str(error)
    reason = "memory ran out" if isinstance(error, MemoryError) else getattr(error, "strerror", "") or str(error)
    return f"{path.name} cannot be read: {reason}."
