"""`SmallestChange`: a small change of an image that flips a label, and what is known about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ...display.colours import intensity_rgb, png_bytes, signed_scale
from ...display.words import number
from ...io.files import npy_bytes, write_atomically
from ...io.tables import json_bytes
from ..edit import Edit
from .question import Question

Measure = Literal["l2", "linf", "l0", "natural"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
TITLES: dict[Measure, str] = {
    "l2": "Smallest L2 norm",
    "linf": "Smallest largest change (L∞)",
    "l0": "Fewest pixels",
    "natural": "Smallest natural change",
}
"""What each measure is called on screen."""
_LEVELS = 255
SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class SmallestChange:
    """A change that flips a label, proven by a prediction of the whole changed image.

    No smaller one was found; that none exists is not claimed: the sizes are upper bounds of the true distance.

    Attributes:
        edit: The change, for the image that it was made of.
        image: Float32 (C, H, W), the image.
        changed: Float32 (C, H, W), the changed image, in [0, 1].
        question: The pixels that were to flip.
        measure: What was made small.
        labels_before: Int64 (H, W), the labels of the image.
        labels_after: Int64 (H, W), the labels of the changed image.
        l2: √Σ change² over pixels and channels, in units of intensity.
        linf: Largest change of any value, in units of intensity.
        pixels: Number of changed pixels.
        seconds: Wall time.
        runs: How often the network ran.
        weights_hash: SHA-256 of the network.
        parameters: What was asked for, as plain values.
    """

    edit: Edit
    image: np.ndarray
    changed: np.ndarray
    question: Question
    measure: Measure
    labels_before: np.ndarray
    labels_after: np.ndarray
    l2: float
    linf: float
    pixels: int
    seconds: float
    runs: int
    weights_hash: str
    parameters: dict[str, Any]

    @property
    def size(self) -> float:
        """The size in its own measure: intensity for the norms, pixels for the others."""
        return {"l2": self.l2, "linf": self.linf}.get(self.measure, float(self.pixels))

    @property
    def grey_levels(self) -> float:
        """Largest change of any value, in levels of an 8-bit image."""
        return _LEVELS * self.linf

    @property
    def from_class(self) -> int:
        """The class that the pixels had."""
        return self.question.from_class

    @property
    def to_class(self) -> int:
        """The class that most of the flipped pixels have now."""
        after = self.labels_after[self.question.mask]
        return int(np.bincount(after[after != self.from_class]).argmax())

    @property
    def also_flipped(self) -> np.ndarray:
        """Other pixels whose label has changed, bool (H, W)."""
        return (self.labels_after != self.labels_before) & ~self.question.mask

    @property
    def change(self) -> np.ndarray:
        """Changed image minus image, float32 (C, H, W)."""
        return self.changed - self.image

    def sentence(self, class_names: Sequence[str]) -> str:
        """What was found, and what it does not show, in words."""
        old, new = class_names[self.from_class], class_names[self.to_class]
        count = int(self.question.mask.sum())
        what = "the pixel" if count == 1 else f"{self.question.needed:,} of {count:,} pixels"
        sizes = (
            f"L2 norm {number(self.l2, 3)}, at most {number(self.linf, 3)} a value ({number(self.grey_levels, 3)} of "
            f"255 grey levels), {self.pixels:,} pixel{'' if self.pixels == 1 else 's'} changed"
        )
        also = int(self.also_flipped.sum())
        others = f"; {also:,} other label{' changes' if also == 1 else 's change'} with it" if also else ""
        return f"This change turns {what} from {old} to {new}: {sizes}{others}. {self.caution}"

    @property
    def caution(self) -> str:
        """What such a change shows, and what it does not."""
        if self.measure == "natural":
            return "It shows that the label hangs on this part of the image; other parts may do the same."
        return "A small change that flips a label shows how fragile the label is here, not why it was given."

    def manifest(self) -> dict[str, Any]:
        """All numbers, and what was asked for, as plain values for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "smallest change",
            "measure": self.measure,
            "size": self.size,
            "l2": self.l2,
            "linf": self.linf,
            "grey_levels": self.grey_levels,
            "pixels": self.pixels,
            "from_class": self.from_class,
            "to_class": self.to_class,
            "also_flipped": int(self.also_flipped.sum()),
            "seconds": round(self.seconds, 6),
            "runs": self.runs,
            "weights_sha256": self.weights_hash,
            "image_sha256": self.edit.image_hash,
            "parameters": self.parameters,
        }

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name; the edit is among them as a file that opens on the page What if."""
        change = self.change
        limit = max(float(np.abs(change).max()), 1e-12)
        return {
            "edit.zip": self.edit.file_bytes(),
            "change.npy": npy_bytes(change),
            "change.png": png_bytes(signed_scale(limit).rgb(change.sum(axis=0))),
            "changed.npy": npy_bytes(self.changed),
            "changed.png": png_bytes(intensity_rgb(self.changed)),
            "labels_after.npy": npy_bytes(self.labels_after.astype(np.uint16)),
            "manifest.json": json_bytes(self.manifest()),
        }

    def save(self, folder: str | Path) -> Path:
        """Write the change, the changed image, the labels and the manifest into `folder`, the manifest last."""
        folder = Path(folder)
        for name, content in self.files().items():
            write_atomically(folder / name, content)
        return folder
