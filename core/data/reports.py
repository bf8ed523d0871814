"""What is known of a data set that has been looked through: its images, and what is wrong."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .data_sets import ImagePair
from .fingerprints import Duplicate
from .index_masks import IGNORED

Kind = Literal[
    "empty folder", "image without mask", "mask without image", "duplicate stem", "other file", "unreadable",
    "another size", "other channels", "not a mask", "unknown class", "mixed masks", "constant image", "no foreground",
    "few images", "copies",
]  # fmt: skip
Severity = Literal["error", "warning"]
MaskForm = Literal["black", "0 and 1", "0 and 255", "class indices", "colours", "label ids"]


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong with a data set.

    Attributes:
        kind: What kind of thing, in a word or two.
        file: The file or folder, from the data set's folder.
        sentence: What is wrong and what to do.
        severity: An error keeps the data set from being used; a warning does not.
    """

    kind: Kind
    file: str
    sentence: str
    severity: Severity


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """What one image and its mask hold.

    Attributes:
        part: "training", "validation" or "test"; empty in a data set that is not divided.
        pair: The files.
        channels: Number of channels.
        height: Rows.
        width: Columns.
        stored_as: Type of the stored values, such as "uint8".
        brightness: Mean of the image in [0, 1].
        contrast: Standard deviation of the image in [0, 1].
        is_constant: Whether all pixels have the same value.
        class_counts: Pixels per class index, `IGNORED` among them.
        mask_form: How the mask is written.
        pixel_hash: Hash of the stored values.
        fingerprint: The small picture for near-duplicates.
    """

    part: str
    pair: ImagePair
    channels: int
    height: int
    width: int
    stored_as: str
    brightness: float
    contrast: float
    is_constant: bool
    class_counts: dict[int, int]
    mask_form: MaskForm
    pixel_hash: str
    fingerprint: NDArray[np.float32]

    @property
    def name(self) -> str:
        """The part and the stem."""
        return f"{self.part}/{self.pair.stem}" if self.part else self.pair.stem

    def class_share(self, index: int) -> float:
        """Share of a class in the pixels that have one; NaN where none has."""
        counted = self.height * self.width - self.class_counts.get(IGNORED, 0)
        return self.class_counts.get(index, 0) / counted if counted else float("nan")


@dataclass(frozen=True)
class ClassFrequency:
    """How often a class occurs in a data set.

    Attributes:
        name: The class.
        share: Share of all pixels that have a class, in [0, 1]; NaN where none has.
        images: Number of images with at least one pixel of it.
    """

    name: str
    share: float
    images: int


@dataclass(frozen=True, eq=False)
class DataSetReport:
    """What `inspect_data_set` found.

    Attributes:
        folder: The data set.
        issues: Everything that is wrong, errors first.
        images: The images that could be read with their masks, sorted by part and stem.
        class_names: One name per class; numbers where nobody named them.
        masks: How the masks are written, in words.
        duplicates: Images that are the same or nearly so, across the parts of a data set that is divided, else among
            all; indices into `images`.
        histogram: Pixels per channel and bin of intensity over [0, 1], int64 (C, 256); None without any image.
    """

    folder: Path
    issues: tuple[Issue, ...] = ()
    images: tuple[ImageFacts, ...] = ()
    class_names: tuple[str, ...] = ()
    masks: str = ""
    duplicates: tuple[Duplicate, ...] = ()
    histogram: NDArray[np.int64] | None = field(default=None, repr=False)

    @property
    def errors(self) -> tuple[Issue, ...]:
        """The issues that keep the data set from being used."""
        return tuple(issue for issue in self.issues if issue.severity == "error")

    @property
    def warnings(self) -> tuple[Issue, ...]:
        """The other issues."""
        return tuple(issue for issue in self.issues if issue.severity == "warning")

    @property
    def parts(self) -> dict[str, int]:
        """Number of images per part."""
        return dict(Counter(image.part for image in self.images))

    def class_shares(self) -> dict[str, float]:
        """Share of each class in all pixels that have one, by its name; NaN where none has."""
        totals: Counter[int] = Counter()
        for image in self.images:
            totals.update(image.class_counts)
        counted = totals.total() - totals[IGNORED]
        shares = [totals[index] / counted if counted else float("nan") for index in range(len(self.class_names))]
        return dict(zip(self.class_names, shares, strict=True))

    def class_frequencies(self) -> tuple[ClassFrequency, ...]:
        """The share of each class in the pixels, and the number of images that have it."""
        return tuple(
            ClassFrequency(name, share, sum(image.class_counts.get(index, 0) > 0 for image in self.images))
            for index, (name, share) in enumerate(self.class_shares().items())
        )

    def rows(self) -> list[dict[str, Any]]:
        """A table with one row per image, for `core.io.tables.csv_bytes`."""
        return [
            {
                "part": image.part,
                "stem": image.pair.stem,
                "image": relative_to_set(image.pair.image, self.folder),
                "mask": relative_to_set(image.pair.mask, self.folder),
                "channels": image.channels,
                "height": image.height,
                "width": image.width,
                "stored as": image.stored_as,
                "brightness": image.brightness,
                "contrast": image.contrast,
                **{f"share of {name}": image.class_share(index) for index, name in enumerate(self.class_names)},
                "ignored pixels": image.class_counts.get(IGNORED, 0),
            }
            for image in self.images
        ]


def relative_to_set(path: Path, folder: Path) -> str:
    """The path from the data set's folder, as a name in tables and messages."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
