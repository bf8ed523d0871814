"""How well a label map agrees with a mask: IoU and Dice, per class, per image, and over a data set.

The mean IoU here is VessMAP's number (da Silva et al. 2025): the IoU of the vessel class in each image, averaged over
the images. With more than one class beside the background, an image's number is the average over those classes that
occur in it. Pooling all pixels first, or counting the background as a class, gives other (higher) numbers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.data_sets import ImagePair, Sample, read_pair
from ..data.index_masks import IGNORED
from ..errors import UserError
from ..segmenter import Segmenter


@dataclass(frozen=True)
class Scores:
    """Agreement of one label map with its mask.

    Attributes:
        iou: Intersection over union |A ∩ B| / |A ∪ B| of each class, in [0, 1]; NaN for a class that is neither in
            the label map nor in the mask.
        dice: 2 |A ∩ B| / (|A| + |B|) of each class, likewise.
        stem: Stem of the image's file, in an `Evaluation`.
    """

    iou: tuple[float, ...]
    dice: tuple[float, ...]
    stem: str = ""

    @property
    def foreground_iou(self) -> float:
        """Mean IoU over the classes beside class 0 that occur; NaN if none does."""
        return _mean(self.iou[1:])

    @property
    def foreground_dice(self) -> float:
        """Mean Dice over the classes beside class 0 that occur; NaN if none does."""
        return _mean(self.dice[1:])


@dataclass(frozen=True)
class Evaluation:
    """The scores of a data set.

    Attributes:
        class_names: One name per class.
        images: One entry per image.
    """

    class_names: tuple[str, ...]
    images: tuple[Scores, ...]

    @property
    def mean_iou(self) -> float:
        """Foreground IoU of each image, averaged over the images; images without any foreground do not count."""
        return _mean([image.foreground_iou for image in self.images])

    @property
    def mean_dice(self) -> float:
        """Foreground Dice of each image, averaged over the images; images without any foreground do not count."""
        return _mean([image.foreground_dice for image in self.images])

    def rows(self) -> list[dict[str, str | float]]:
        """A table with one row per image: its stem, then IoU and Dice of every class."""
        return [
            {
                "image": image.stem,
                **{f"IoU {name}": value for name, value in zip(self.class_names, image.iou, strict=True)},
                **{f"Dice {name}": value for name, value in zip(self.class_names, image.dice, strict=True)},
            }
            for image in self.images
        ]


def score_labels(labels: NDArray[np.integer] | Tensor, mask: NDArray[np.integer] | Tensor, num_classes: int) -> Scores:
    """IoU and Dice of each class; arguments and errors as for `confusion_of`."""
    confusion = confusion_of(labels, mask, num_classes).astype(np.float64)
    both = torch.from_numpy(confusion.diagonal().copy())
    sizes = torch.from_numpy(confusion.sum(axis=0) + confusion.sum(axis=1))
    iou, dice = both / (sizes - both), 2 * both / sizes
    return Scores(tuple(iou.tolist()), tuple(dice.tolist()))


def confusion_of(
    labels: NDArray[np.integer] | Tensor, mask: NDArray[np.integer] | Tensor, num_classes: int
) -> NDArray[np.int64]:
    """int64 (K, K): the number of pixels by true class (row) and predicted class (column).

    Args:
        labels: (H, W), the predicted class of each pixel.
        mask: (H, W), the true class of each pixel.
        num_classes: K; both maps hold 0 to K - 1, the mask also `IGNORED` for pixels that do not count.

    Raises:
        UserError: Maps of different sizes, or a class that is not one of the K.
    """
    predicted, truth = torch.as_tensor(labels).long(), torch.as_tensor(mask).long()
    if predicted.shape != truth.shape:
        raise UserError(
            f"The label map is {tuple(predicted.shape)} and the mask {tuple(truth.shape)}; both must be of one size."
        )
    known = truth != IGNORED
    predicted, truth = predicted[known], truth[known]
    for what, values in (("label map", predicted), ("mask", truth)):
        outside = values[(values < 0) | (values >= num_classes)]
        if outside.numel():
            raise UserError(
                f"The {what} holds the class {outside[0]}, but there are only the classes 0 to {num_classes - 1}."
            )
    pairs = torch.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return pairs.view(num_classes, num_classes).cpu().numpy()


def evaluate_segmenter(
    segmenter: Segmenter,
    images: Iterable[ImagePair | Sample],
    progress: Callable[[Scores], None] | None = None,
) -> Evaluation:
    """Predict every image and score it against its mask.

    Args:
        segmenter: The network.
        images: Files (from `find_pairs`) or samples in memory; read one at a time.
        progress: Called after each image.

    Raises:
        UserError: No images, an image that the network cannot take, or a mask with a class that it does not have.
    """
    evaluated: list[Scores] = []
    for image in images:
        sample = read_pair(image) if isinstance(image, ImagePair) else image
        labels = segmenter.predict(sample.image).labels
        try:
            scores = score_labels(labels, sample.mask, segmenter.num_classes)
        except UserError as error:
            raise UserError(f"{sample.stem}: {error}") from error
        evaluated.append(replace(scores, stem=sample.stem))
        if progress is not None:
            progress(evaluated[-1])
    if not evaluated:
        raise UserError("There are no images to evaluate; give at least one image with its mask.")
    return Evaluation(segmenter.class_names, tuple(evaluated))


def _mean(values: Iterable[float]) -> float:
    """The mean without the NaNs; NaN if nothing is left."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
