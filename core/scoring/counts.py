"""What is counted in one image, or added up over many, and the metrics that follow from it.

Metrics of one class are `PER_CLASS`, those of all classes together `OVERALL`. A metric without anything to divide by is
NaN, e.g. the precision of a class that is never predicted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.index_masks import IGNORED
from ..errors import UserError
from ..segmenter import Prediction
from .overlap import confusion_of

PER_CLASS = {
    "iou": "IoU",
    "dice": "Dice",
    "precision": "Precision",
    "recall": "Recall",
    "cldice": "clDice",
}
"""Titles of the metrics that each class has."""
OVERALL = {"accuracy": "Accuracy", "calibration_error": "Calibration error"}
"""Titles of the metrics that all classes have in common."""
BINS = 15
"""Bins of the confidence, of equal width over [0, 1]."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of an image, or their sum over images.

    Attributes:
        confusion: int64 (K, K): pixels by true class (row) and predicted class (column).
        skeletons: int64 (K, 4): points of the predicted skeleton, those of them inside the true mask, points of the
            true skeleton, those of them inside the predicted mask; 0 for class 0.
        calibration: float64 (BINS, 3): pixels by the confidence of the predicted class, their sum of confidences, and
            the number of them that are right.
    """

    confusion: NDArray[np.int64]
    skeletons: NDArray[np.int64]
    calibration: NDArray[np.float64]

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.confusion + other.confusion,
            self.skeletons + other.skeletons,
            self.calibration + other.calibration,
        )

    def of_classes(self) -> dict[str, NDArray[np.float64]]:
        """Each metric of `PER_CLASS`, float64 (K,) in [0, 1].

        Of a class with TP true positives, FP false positives and FN false negatives: IoU = TP / (TP + FP + FN), Dice =
        2 TP / (2 TP + FP + FN), precision = TP / (TP + FP), recall = TP / (TP + FN). clDice (Shit et al. 2021) is the
        harmonic mean of the share of the predicted skeleton inside the true mask and of the share of the true skeleton
        inside the predicted mask; it has none for class 0.
        """
        right, truth, predicted = self.confusion.diagonal(), self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        own, own_inside, true, true_inside = self.skeletons.T
        precision, sensitivity = _ratio(own_inside, own), _ratio(true_inside, true)
        # A mask without any skeleton has no share of it; where only one of the two is empty, nothing agrees.
        both = np.where((own == 0) ^ (true == 0), 0.0, _ratio(2 * precision * sensitivity, precision + sensitivity))
        none = (own > 0) & (true > 0) & (own_inside + true_inside == 0)
        return {
            "iou": _ratio(right, truth + predicted - right),
            "dice": _ratio(2 * right, truth + predicted),
            "precision": _ratio(right, predicted),
            "recall": _ratio(right, truth),
            "cldice": np.where(none, 0.0, both),
        }

    def overall(self) -> dict[str, float]:
        """Each metric of `OVERALL`, in [0, 1].

        Accuracy is the share of pixels whose class is right. The calibration error is the expected one (Guo et al.
        2017): |accuracy - mean confidence| in each bin of the predicted class's probability, averaged over the pixels.
        """
        pixels, confidence, right = self.calibration.T
        total = pixels.sum()
        return {
            "accuracy": float(_ratio(self.confusion.trace(), self.confusion.sum())),
            "calibration_error": float(_ratio(np.abs(right - confidence).sum(), total)),
        }


def no_counts(num_classes: int) -> Counts:
    """Zeros, to add to."""
    return Counts(
        np.zeros((num_classes, num_classes), np.int64), np.zeros((num_classes, 4), np.int64), np.zeros((BINS, 3))
    )


def count(prediction: Prediction, truth: NDArray[np.integer]) -> Counts:
    """The counts of one image; pixels whose truth is `IGNORED` are in none of them.

    Args:
        prediction: What the network predicts, K classes.
        truth: (H, W), the true class of each pixel.

    Raises:
        UserError: A truth of another size, or with a class that is not one of the K.
    """
    labels, num_classes = prediction.labels, len(prediction.probabilities)
    confusion = confusion_of(labels, truth, num_classes)
    known = truth != IGNORED
    skeletons = np.zeros((num_classes, 4), np.int64)
    for index in range(1, num_classes):
        skeletons[index] = _skeleton_counts((labels == index) & known, truth == index)
    confidence = prediction.probabilities.max(axis=0)[known].astype(np.float64)
    right = (labels == truth)[known]
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    columns = (np.ones_like(confidence), confidence, right)
    calibration = np.stack([np.bincount(bins, weights, BINS).astype(np.float64) for weights in columns], axis=1)
    return Counts(confusion, skeletons, calibration)


def outcomes(labels: NDArray[np.integer], truth: NDArray[np.integer], class_index: int) -> NDArray[np.uint8]:
    """uint8 (H, W): 1 where the class is predicted rightly, 2 where wrongly, 3 where it is missed, else 0.

    Raises:
        UserError: Maps of different sizes.
    """
    if labels.shape != truth.shape:
        raise UserError(f"The label map is {labels.shape} and the mask {truth.shape}; both must be of one size.")
    predicted, true = labels == class_index, truth == class_index
    found = np.zeros(labels.shape, np.uint8)
    found[predicted & true], found[predicted & ~true], found[~predicted & true] = 1, 2, 3
    found[truth == IGNORED] = 0
    return found


def _skeleton_counts(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    from skimage.morphology import skeletonize  # noqa: PLC0415 - slow to import

    own, true = skeletonize(predicted), skeletonize(truth)
    return int(own.sum()), int((own & truth).sum()), int(true.sum()), int((true & predicted).sum())


def _ratio(part: object, whole: object) -> NDArray[np.float64]:
    """Part / whole, NaN where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)
