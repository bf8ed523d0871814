"""The pixel that a page opens on: a plain error where there is a ground truth, else the middle of a sure object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.index_masks import IGNORED
from ..segmenter import Prediction
from .wrong_parts import wrong_parts


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

    With a ground truth it is that of the first of the `wrong_parts`, unless all of them are outlines. Else it is the
    pixel of the foreground where (1 + d) · p is largest, d the chessboard distance to another label or the image's
    edge, and p the probability of the label. Of equals the first in reading order.

    Args:
        prediction: What the network predicts.
        class_names: One name per class; class 0 is the background.
        truth: The true class of each pixel, integers (H, W).
    """
    labels = prediction.labels
    if truth is not None and truth.shape == labels.shape:
        parts = wrong_parts(labels, np.where(truth < len(class_names), truth, IGNORED))
        if parts and not parts[0].is_outline:
            return OpeningPixel(parts[0].row, parts[0].column, parts[0].describe(class_names))
    if not labels.any():
        row, column = labels.shape[0] // 2, labels.shape[1] // 2
        return OpeningPixel(row, column, f"the middle of the image, all of which is labelled {class_names[0]}")
    confidence = prediction.probabilities.max(axis=0)
    worth = np.where(labels > 0, (1 + _depth(~_edges(labels))) * confidence, 0)
    row, column = _place_of_largest(worth)
    name = class_names[labels[row, column]]
    sure = "confident" if confidence[row, column] >= 0.9 else "likely"
    return OpeningPixel(row, column, f"a {sure} {name} pixel in the middle of the widest {name}")


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
