"""How well the network segments each image that has a ground truth, worked out in the background."""

from collections.abc import Iterable, Sequence
from threading import Lock

import numpy as np
import streamlit as st
from cachetools import LRUCache

from core.attribution.attribution import image_hash
from core.compute.progress import Progress
from core.data.images import Scaling
from core.errors import UserError
from core.pixel_sets import check_truth
from core.scoring.overlap import score_labels
from core.segmenter import Prediction, Segmenter
from widgets.shared.offered_images import OfferedImage, read_truth
from widgets.shared.predictions import kept_prediction, passing_prediction

LARGE_PIXELS = 2_000_000
"""An image of more is not predicted unasked."""
_MAX_SCORES = 8192
SAMPLES_OF = {"vessmap": "vessels", "scenes": "scenes", "fundus": "fundus"}
"""The samples whose ground truth is of the classes of a shipped network."""


def score_name(segmenter: Segmenter) -> str:
    """The score of an image: Dice of the class for two classes, else mean IoU."""
    return "Dice" if segmenter.num_classes == 2 else "Mean IoU"


def score_of(labels: np.ndarray, truth: np.ndarray, num_classes: int) -> float | None:
    """Dice of class 1 for two classes, else the mean IoU over the classes that occur; None where none does.

    Raises:
        UserError: A ground truth of another size or with other classes.
    """
    check_truth(truth, labels.shape, num_classes)
    scores = score_labels(labels, truth, num_classes)
    known = [value for value in (scores.dice[1:] if num_classes == 2 else scores.iou) if not np.isnan(value)]
    return float(np.mean(known)) if known else None


class ImageScores:
    """The scores of a network, shared by all sessions.

    Args:
        segmenter: The network; its weights are read once, here.
        scaling: How intensities are scaled.
    """

    def __init__(self, segmenter: Segmenter, scaling: Scaling = "dtype") -> None:
        self._segmenter, self.scaling = segmenter, scaling
        self.network = segmenter.weights_hash, str(segmenter.device)
        self._known, self._lock = _known_scores()

    def get(self, image: OfferedImage) -> float | None:
        """The score of an image; None where it is not known, or there is none."""
        with self._lock:
            return self._known.get(self._key(image))

    def missing(self, images: Iterable[OfferedImage]) -> list[OfferedImage]:
        """Those of the images that the network takes and that have a ground truth, but were not scored yet."""
        scorable = [image for image in images if image.truth is not None and self._is_of_its_classes(image)]
        with self._lock:
            return [image for image in scorable if self._key(image) not in self._known]

    def _is_of_its_classes(self, image: OfferedImage) -> bool:
        """Whether the network takes the image and, as far as is known, its ground truth is of the network's classes."""
        own = SAMPLES_OF.get(self._segmenter.name)
        is_of_another = own is not None and image.is_sample and image.group in set(SAMPLES_OF.values()) - {own}
        is_of_one_object = self._segmenter.prompt is not None  # which the ground truth is not
        return image.fits(self._segmenter) and not is_of_another and not is_of_one_object

    def compute(self, images: Sequence[OfferedImage], progress: Progress | None = None) -> None:
        """Score images; each score is known as soon as it is there."""
        for done, image in enumerate(images):
            if progress is not None:
                progress(done, len(images))
            self._keep(image, self._score(image))

    def compute_from_kept(self, image: OfferedImage, hash_of_values: str) -> None:
        """Score an image of that hash here, if the network's prediction for it is there."""
        prediction = kept_prediction((*self.network, hash_of_values))
        if prediction is not None:
            self._keep(image, self._score(image, prediction))

    def _keep(self, image: OfferedImage, score: float | None) -> None:
        with self._lock:
            self._known[self._key(image)] = score

    def _score(self, image: OfferedImage, prediction: Prediction | None = None) -> float | None:
        try:
            truth = read_truth(image)
            if truth is None or (truth.size > LARGE_PIXELS and prediction is None):
                return None
            if prediction is None:
                values = image.load(self.scaling).values  # not kept, as a folder of them would push out all else
                prediction = passing_prediction(self._segmenter, values, (*self.network, image_hash(values)))
            return score_of(prediction.labels, truth, self._segmenter.num_classes)
        except (UserError, RuntimeError, MemoryError):  # an image that cannot be scored does not end the others
            return None

    def _key(self, image: OfferedImage) -> tuple[object, ...]:
        return *self.network, self.scaling, image.key, image.truth_key


@st.cache_resource
def _known_scores() -> tuple[LRUCache, Lock]:
    return LRUCache(_MAX_SCORES), Lock()
