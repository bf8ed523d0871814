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
from .fingerprints import SIDE, Duplicate, find_duplicates
from .index_masks import IGNORED
from .layouts import FoundFiles, find_files, split_folders
from .pair_checks import Found, check_headers, check_pixels
from .reports import DataSetReport, ImageFacts, Issue, Kind, MaskForm, Severity, relative_to_set

Progress = Callable[[int, int], object]
PartPair = tuple[str, ImagePair]
"""A pair and the part of the data set that it belongs to."""
Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST, FEW = 3, 10
"""A network cannot be trained, validated and tested on fewer images; below the second number there is a warning."""
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
        shapes = _in_threads(lambda item: check_headers(item[1]), self.pairs, progress, 0, total)
        sound = [
            (pair, channels)
            for pair, (channels, issues) in zip(self.pairs, shapes, strict=True)
            if not self._note_all(issues)
        ]
        alike = self._of_usual_channels(sound)
        images: list[ImageFacts] = []
        before = total - len(alike)

        def look(item: PartPair) -> tuple[tuple[ImageFacts, NDArray[np.int64]] | None, list[Found]]:
            return check_pixels(*item, self.class_names)

        for found, issues in _in_threads(look, alike, progress, before, total):
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

    def _note_what_all_show(self, images: list[ImageFacts]) -> None:
        """Note what only shows when all images are known."""
        self._note_mixed_masks(images)
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

    def _note_mixed_masks(self, images: list[ImageFacts]) -> None:
        """Masks of 0 and 255 among masks of class indices, or the other way round: those of which there are fewer."""
        forms = Counter(image.mask_form for image in images)
        kinds: tuple[MaskForm, ...] = ("0 and 255", "class indices")
        few = min(kinds, key=lambda form: forms[form])
        why = (
            "0 and 255, which is read as the classes 0 and 1, while most masks hold class indices, where 255 is ignored"
            if few == "0 and 255"
            else "other values than 0 and 255, as a lossy format or resizing makes them, while most masks hold these"
        )
        for image in images:
            if image.mask_form == few and forms["0 and 255"] and forms["class indices"]:
                path = image.pair.mask
                self.note("mixed masks", path, f"The mask {path.name} holds {why}; write the masks alike.")

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


def _numbers(images: Sequence[ImageFacts]) -> tuple[str, ...]:
    """The numbers of the classes up to the largest that a mask holds, at least two."""
    largest = max((index for image in images for index in image.class_counts if index != IGNORED), default=1)
    return tuple(map(str, range(max(largest, 1) + 1))) if images else ()


def _mask_words(images: Sequence[ImageFacts]) -> str:
    forms = Counter(image.mask_form for image in images)
    return ", ".join(f"{form} ({count})" for form, count in forms.most_common())
