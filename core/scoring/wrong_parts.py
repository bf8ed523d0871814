"""Where a prediction is wrong: the connected parts of one confusion each, and the pixel deepest inside each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.index_masks import IGNORED

_EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class WrongPart:
    """Connected pixels, also over corners, of one true class that are labelled as one other class.

    Attributes:
        pixels: Number of pixels.
        true_class: Their class in the ground truth.
        labelled: The class predicted there.
        row: Row of the pixel of the part that is farthest from all others.
        column: Column of that pixel.
        is_outline: Whether each of its pixels has a right neighbour, as where a mask draws an object one pixel off.
    """

    pixels: int
    true_class: int
    labelled: int
    row: int
    column: int
    is_outline: bool

    def describe(self, class_names: Sequence[str]) -> str:
        """What is wrong, e.g. "false negative, 84 px of vessel labelled background"."""
        kind = "wrong label"
        if len(class_names) == 2:
            kind = "false negative" if self.labelled == 0 else "false positive"
        return f"{kind}, {self.pixels:,} px of {class_names[self.true_class]} labelled {class_names[self.labelled]}"


def wrong_parts(labels: np.ndarray, truth: np.ndarray) -> list[WrongPart]:
    """The wrong parts of a label map (H, W): outlines last, the largest first, then by row and column.

    Pixels whose truth is `IGNORED` are in none.
    """
    from scipy import ndimage  # noqa: PLC0415 - slow to import

    wrong = (labels != truth) & (truth != IGNORED)
    wide = ndimage.binary_erosion(wrong, _EVERY_NEIGHBOUR)
    found: list[WrongPart] = []
    for true_class, labelled in np.unique(np.stack([truth[wrong], labels[wrong]], axis=1), axis=0).tolist():
        parts, _ = ndimage.label((truth == true_class) & (labels == labelled), structure=_EVERY_NEIGHBOUR)
        for number, box in enumerate(ndimage.find_objects(parts), 1):
            inside = parts[box] == number
            # Padded, since the edge of the box is an edge of the part.
            depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            place = int(row) + box[0].start, int(column) + box[1].start
            found.append(WrongPart(int(inside.sum()), true_class, labelled, *place, not wide[box][inside].any()))
    return sorted(found, key=lambda part: (part.is_outline, -part.pixels, part.row, part.column))
