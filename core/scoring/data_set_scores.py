"""How well a network segments a data set: each image, the mean over the images with its interval, all pixels pooled."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data_sets import ImagePair, Sample, read_pair
from ..errors import UserError
from ..segmenter import Segmenter
from .counts import OVERALL, PER_CLASS, Counts, count, no_counts

DRAWS = 2000
"""Resamples of the bootstrap."""
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """One image of a data set.

    Attributes:
        stem: Stem of its file.
        counts: What was counted in it.
        pair: Its files; None for a sample that was given in memory.
    """

    stem: str
    counts: Counts
    pair: ImagePair | None = None


@dataclass(frozen=True)
class Summary:
    """One metric of one class, or of all, over a data set.

    Attributes:
        metric: A key of `PER_CLASS` or `OVERALL`.
        class_name: The class; empty for a metric of all classes.
        mean: Mean over the images in which it is defined; NaN where it is in none.
        low: Lower end of the mean's interval; NaN for fewer than two images.
        high: Upper end of it.
        pooled: The metric of all pixels of all images together.
        images: Number of images in which it is defined.
    """

    metric: str
    class_name: str
    mean: float
    low: float
    high: float
    pooled: float
    images: int


@dataclass(frozen=True, eq=False)
class DataSetScores:
    """The scores of a data set.

    Attributes:
        class_names: One name per class.
        images: One entry per image, in the order in which they were given.
    """

    class_names: tuple[str, ...]
    images: tuple[ScoredImage, ...]

    @cached_property
    def pooled(self) -> Counts:
        """The counts of all images."""
        return sum((image.counts for image in self.images), no_counts(len(self.class_names)))

    @cached_property
    def values(self) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Each metric of each class, by metric and class name, float64 (images,); NaN where it is not defined."""
        of_classes = [image.counts.of_classes() for image in self.images]
        overall = [image.counts.overall() for image in self.images]
        found = {
            (metric, name): np.array([each[metric][index] for each in of_classes])
            for metric in PER_CLASS
            for index, name in enumerate(self.class_names)
            if metric != "cldice" or index
        }
        return found | {(metric, ""): np.array([each[metric] for each in overall]) for metric in OVERALL}

    @cached_property
    def foreground_iou(self) -> NDArray[np.float64]:
        """The IoU of each image, averaged over the classes beside class 0 that occur, float64 (images,)."""
        each = np.stack([self.values["iou", name] for name in self.class_names[1:]])
        known = ~np.isnan(each)
        total = np.where(known, each, 0).sum(axis=0)
        return np.divide(total, known.sum(axis=0), out=np.full(len(self.images), np.nan), where=known.any(axis=0))

    def worst_first(self) -> list[int]:
        """Indices of the images by their foreground IoU, those without one last."""
        return [int(index) for index in np.argsort(self.foreground_iou, kind="stable")]

    def mean_iou(self, seed: int = 0) -> tuple[float, float, float]:
        """The mean over the images of their foreground IoU, with the ends of its interval, see `interval_of_mean`."""
        low, high = interval_of_mean(self.foreground_iou, seed)
        return _mean(self.foreground_iou), low, high

    def summaries(self, seed: int = 0) -> list[Summary]:
        """Every metric of every class, then those of all classes; intervals as `interval_of_mean`."""
        pooled, overall = self.pooled.of_classes(), self.pooled.overall()
        found = []
        for (metric, name), values in self.values.items():
            together = pooled[metric][self.class_names.index(name)] if name else overall[metric]
            known = int(np.isfinite(values).sum())
            found.append(Summary(metric, name, _mean(values), *interval_of_mean(values, seed), float(together), known))
        return found

    def rows(self) -> list[dict[str, Any]]:
        """A table with one row per image, the worst first, for `core.io.tables.csv_bytes`."""
        return [
            {
                "image": self.images[index].stem,
                "mean IoU of the foreground": float(self.foreground_iou[index]),
                **{
                    f"{(PER_CLASS | OVERALL)[metric]} {name}".strip(): float(values[index])
                    for (metric, name), values in self.values.items()
                },
            }
            for index in self.worst_first()
        ]


def score_data_set(
    segmenter: Segmenter,
    images: Iterable[ImagePair | Sample],
    progress: Callable[[int], object] | None = None,
) -> DataSetScores:
    """Predict every image and count how it agrees with its mask; one image at a time is in memory.

    Args:
        segmenter: The network.
        images: Files (from `find_pairs`) or samples in memory.
        progress: Called with the number of images done; what it raises ends the scoring.

    Raises:
        UserError: No images, an image that the network cannot take, or a mask with a class that it does not have.
    """
    scored: list[ScoredImage] = []
    for image in images:
        sample = read_pair(image) if isinstance(image, ImagePair) else image
        try:
            counts = count(segmenter.predict(sample.image), sample.mask)
        except UserError as error:
            raise UserError(f"{sample.stem}: {error}") from error
        scored.append(ScoredImage(sample.stem, counts, image if isinstance(image, ImagePair) else None))
        if progress is not None:
            progress(len(scored))
    if not scored:
        raise UserError("There are no images to score; give at least one image with its mask.")
    return DataSetScores(segmenter.class_names, tuple(scored))


def interval_of_mean(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile-bootstrap interval of the mean over images (Efron & Tibshirani 1993, ch. 13).

    Images are drawn again with replacement, `DRAWS` times. It tells how far the mean would move with other images of
    the same kind, if the images are independent of each other.

    Args:
        values: float64 (images,); NaN is left out.
        seed: Seed of the draws.

    Returns:
        Its ends; NaN where fewer than two values are left.
    """
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return float("nan"), float("nan")
    rng, means = np.random.default_rng(seed), np.empty(DRAWS)
    for draw in range(DRAWS):  # one after the other, as all at once would be large for many images
        means[draw] = known[rng.integers(len(known), size=len(known))].mean()
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
