"""`LiveEdit`: an image that is edited by hand, and what the network makes of it at each moment."""

from dataclasses import dataclass

import numpy as np
import torch

from ..attribution.windowed import MapWindow
from ..receptive_field.windows import Box, everything
from ..segmenter import Image, Segmenter
from ..target import PREDICTED, Score, class_scores, scores_of_labels
from .kept_prediction import KeptPrediction
from .painting import Painting


@dataclass(frozen=True)
class PixelChange:
    """What an edit did to one pixel's answer.

    Attributes:
        class_index: The class whose score and probability are given.
        label_before: Label of the pixel in the original image.
        label: Label of the pixel now.
        probability_before: Probability of the class in the original image.
        probability: Probability of the class now.
        score_before: Score in the original image, in the unit of the score.
        score: Score now.
    """

    class_index: int
    label_before: int
    label: int
    probability_before: float
    probability: float
    score_before: float
    score: float


@dataclass(frozen=True)
class Overlap:
    """How many pixels the class has, and its Dice coefficient with the ground truth; NaN without one."""

    pixels_before: int
    pixels: int
    dice_before: float
    dice: float


class LiveEdit:
    """A painting and the network's kept prediction for it.

    Attributes:
        painting: The image and its steps; after each change call `renew` with the box that it returned.
        prediction: The network's logits, before and now.
        labels_before: (H, W), uint8, or uint16 with many classes.
        labels: The same of the image as it is now.
        latest: Rows and columns of the logits that were renewed last.
    """

    def __init__(self, segmenter: Segmenter, image: Image) -> None:
        """Runs the network once.

        Raises:
            UserError: The image does not fit the network.
        """
        self.painting = Painting(image)
        self.prediction = KeptPrediction(segmenter, image)
        self._label_type = np.uint8 if len(self.prediction.logits) <= 256 else np.uint16
        self.latest: Box = everything(self.prediction.size)
        self.labels_before = self._labels_of(self.latest)
        self.labels = self.labels_before.copy()

    def renew(self, box: Box | None) -> Box | None:
        """The box of the logits that follow from a change of the image in a box; None for no change."""
        if box is None:
            return None
        painting = self.painting
        is_back = np.array_equal(painting.image[(..., *box)], painting.original[(..., *box)]) and painting.is_original
        if is_back:  # bit for bit as before
            self.prediction.restore()
            outputs = everything(self.prediction.size)
        else:
            outputs = self.prediction.renew(self.painting.image, box)
        self.labels[outputs] = self._labels_of(outputs)
        self.latest = outputs
        return outputs

    def check(self) -> float:
        """Run the whole image; the largest difference to the logits kept, which are replaced by those of the run."""
        difference = self.prediction.check(self.painting.image)
        self.labels[...] = self._labels_of(everything(self.prediction.size))
        return difference

    def difference(self, score: Score, box: Box) -> MapWindow:
        """Score now minus score before at each pixel of a box, float32 (1, h, w), in the unit of the score.

        `PREDICTED` means the class predicted before.
        """
        now, before = (self._scores(logits[(..., *box)], score, box) for logits in self._both)
        return MapWindow((now - before).cpu().numpy().astype(np.float32), box[0].start, box[1].start)

    def at(self, row: int, column: int, score: Score) -> PixelChange:
        """What changed at a pixel; `PREDICTED` means the class predicted there before."""
        box = slice(row, row + 1), slice(column, column + 1)
        before, now = int(self.labels_before[row, column]), int(self.labels[row, column])
        class_index = score.of_label(before).class_index
        scores = [float(self._scores(logits[(..., *box)], score, box)) for logits in reversed(self._both)]
        chances = [float(logits[:, row, column].softmax(dim=0)[class_index].cpu()) for logits in reversed(self._both)]
        return PixelChange(class_index, before, now, chances[0], chances[1], scores[0], scores[1])

    @property
    def changed(self) -> np.ndarray:
        """The pixels with another label than before, bool (H, W)."""
        return self.labels != self.labels_before

    def overlap(self, class_index: int, truth: np.ndarray | None = None) -> Overlap:
        """Pixels of a class and its Dice coefficient with a ground truth (H, W), before and now."""
        expected = None if truth is None else truth == class_index
        before, now = (_overlap(labels == class_index, expected) for labels in (self.labels_before, self.labels))
        return Overlap(before[0], now[0], before[1], now[1])

    @property
    def _both(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.prediction.logits, self.prediction.original

    def _scores(self, logits: torch.Tensor, score: Score, box: Box) -> torch.Tensor:
        if score.class_index != PREDICTED:
            return class_scores(logits[None], score.class_index, score.space, score.against)
        labels = torch.from_numpy(self.labels_before[box].astype(np.int64)).to(logits.device)
        return scores_of_labels(logits[None], labels, score.space, score.against)

    def _labels_of(self, box: Box) -> np.ndarray:
        return self.prediction.logits[(..., *box)].argmax(dim=0).cpu().numpy().astype(self._label_type)


def _overlap(found: np.ndarray, expected: np.ndarray | None) -> tuple[int, float]:
    pixels = int(np.count_nonzero(found))
    if expected is None:
        return pixels, float("nan")
    total = pixels + int(np.count_nonzero(expected))
    return pixels, 2 * int(np.count_nonzero(found & expected)) / total if total else float("nan")
