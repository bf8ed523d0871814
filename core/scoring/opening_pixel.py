"""The pixel that a page opens on: a plain error where there is a ground truth, else the middle of a sure object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.index_masks import IGNORED
from ..segmenter import Prediction

_EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)
_PLAIN = 2
"""An error is plain where it is wider than the outline of an object, which a mask may draw one pixel off."""


@dataclass(frozen=True)
class OpeningPixel:
    """A pixel worth explaining.

    Attributes:
        row: Its row.
        column: Its column.
        reason: Why this one, as it follows "Opened on".
    """

    row: int
    column: int
    reason: str


def opening_pixel(prediction: Prediction, class_names: Sequence[str], truth: np.ndarray | None = None) -> OpeningPixel:
    """The pixel to explain first.

    With a ground truth it is the most interior pixel of the largest connected error that is at least three pixels wide
    somewhere. Without such an error it is the pixel of the foreground where (1 + d) · p is largest, d the chessboard
    distance to another label or the image's edge, and p the probability of the label. Of equals the first in reading
    order.

    Args:
        prediction: What the network predicts.
        class_names: One name per class; class 0 is the background.
        truth: The true class of each pixel, integers (H, W).
    """
    labels = prediction.labels
    if truth is not None and truth.shape == labels.shape:
        error = _inside_largest_error((truth != labels) & (truth != IGNORED) & (truth < len(class_names)))
        if error is not None:
            row, column, count = error
            label, true = class_names[labels[row, column]], class_names[truth[row, column]]
            return OpeningPixel(row, column, f"labelled {label}, the truth says {true}: {count:,} px of error")
    if not labels.any():
        row, column = labels.shape[0] // 2, labels.shape[1] // 2
        return OpeningPixel(row, column, f"the middle of the image, all of which is labelled {class_names[0]}")
    confidence = prediction.probabilities.max(axis=0)
    worth = np.where(labels > 0, (1 + _depth(~_edges(labels))) * confidence, 0)
    row, column = _place_of_largest(worth)
    name = class_names[labels[row, column]]
    sure = "confident" if confidence[row, column] >= 0.9 else "likely"
    return OpeningPixel(row, column, f"a {sure} {name} pixel in the middle of the widest {name}")


def _inside_largest_error(wrong: np.ndarray) -> tuple[int, int, int] | None:
    """Row and column of the most interior pixel of the largest plain error, and the error's pixels."""
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    depth = _depth(wrong)
    if not (depth >= _PLAIN).any():
        return None
    parts, _ = label(wrong, structure=_EVERY_NEIGHBOUR)
    sizes = np.bincount(parts.ravel())
    plain = np.unique(parts[depth >= _PLAIN])
    largest = plain[np.argmax(sizes[plain])]
    row, column = _place_of_largest(np.where(parts == largest, depth, 0))
    return row, column, int(sizes[largest])


def _depth(mask: np.ndarray) -> np.ndarray:
    """Chessboard distance of each pixel of a mask to the nearest one outside of it or of the image."""
    from scipy.ndimage import distance_transform_cdt  # noqa: PLC0415 - slow to import

    return distance_transform_cdt(np.pad(mask, 1), "chessboard")[1:-1, 1:-1]


def _edges(labels: np.ndarray) -> np.ndarray:
    """The pixels above or left of another label."""
    edges = np.zeros(labels.shape, dtype=bool)
    edges[:-1] = labels[:-1] != labels[1:]
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return edges


def _place_of_largest(values: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(np.argmax(values), values.shape)
    return int(row), int(column)
