"""Numbers of one attribution map: how large it is, and whether it lies on what it explains."""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from ..data.index_masks import IGNORED
from ..display.words import percent
from ..errors import UserError
from ..segmenter import Prediction
from ..target import PREDICTED, Target
from .attribution import Attribution

Region = Literal["class", "explained", "foreground"]


@dataclass(frozen=True)
class RegionShare:
    """A map inside a region against outside it.

    Attributes:
        area: Pixels in the region.
        area_ratio: Area as a fraction of the known pixels of the image.
        inside: Mean magnitude inside; NaN where the region is empty.
        outside: Mean magnitude outside; NaN where the region is the whole image.
        ratio: inside / outside, the attribution ratio; NaN where one of them is, or where outside is 0.
        mass: Fraction of the sum of magnitudes that lies inside; NaN where the sum is 0.
    """

    area: int
    area_ratio: float
    inside: float
    outside: float
    ratio: float
    mass: float

    def in_words(self) -> str:
        """How to read the ratio, in one sentence."""
        if self.area == 0:
            return "The region is empty, so there is no inside to compare."
        if self.area_ratio == 1:
            return "The region is the whole image, so there is no outside to compare."
        if np.isnan(self.ratio):
            return "Nothing lies outside the region: the map is 0 there."
        if self.ratio >= 2:
            return f"A pixel inside weighs {self.ratio:.1f} times one outside; {self._inside_in_words}."
        if self.ratio >= 1:
            return f"A pixel inside weighs {self.ratio:.1f} times one outside, hardly more; {self._inside_in_words}."
        return f"A pixel inside weighs {self.ratio:.2g} of one outside, less; {self._inside_in_words}."

    @property
    def _inside_in_words(self) -> str:
        return f"{percent(self.mass)} of the whole map lies inside"


@dataclass(frozen=True)
class AttributionStatistics:
    """Statistics of the magnitude √Σ_c a² of an attribution, in its unit.

    Attributes:
        mean: Over all pixels.
        std: Population standard deviation over all pixels.
        minimum: Over all pixels.
        maximum: Over all pixels.
        predicted: Against the region of `compared_with`, by the prediction.
        truth: The same by the ground truth; None where there is none, or where the region is that of the pixels
            explained.
        channel_sums: Σ over the pixels of each channel's signed values; they add up to the sum of the map.
        channel_shares: Each channel's part of Σ|a|; they add up to 1. NaN where the map is 0.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    predicted: RegionShare
    truth: RegionShare | None
    channel_sums: tuple[float, ...]
    channel_shares: tuple[float, ...]

    def as_dict(self) -> dict[str, float]:
        """All numbers by name, with regions and channels in the names: "predicted_ratio", "channel_0_sum"."""
        numbers = {name: getattr(self, name) for name in ("mean", "std", "minimum", "maximum")}
        for name, share in (("predicted", self.predicted), ("truth", self.truth)):
            numbers |= {f"{name}_{key}": value for key, value in asdict(share).items()} if share else {}
        for index, (total, part) in enumerate(zip(self.channel_sums, self.channel_shares, strict=True)):
            numbers |= {f"channel_{index}_sum": total, f"channel_{index}_share": part}
        return numbers


def statistics(
    attribution: Attribution, prediction: Prediction, truth: np.ndarray | None = None
) -> AttributionStatistics:
    """Statistics of an attribution at the size of the image.

    Args:
        attribution: Values (C, H, W).
        prediction: The network's prediction for the image.
        truth: (H, W), the class of each pixel by the ground truth; 255 where it is unknown, which counts nowhere.

    Raises:
        UserError: The map or the truth is not of the prediction's size.
    """
    labels = prediction.labels
    magnitude = attribution.magnitude().astype(np.float64)
    if magnitude.shape != labels.shape:
        raise UserError("Statistics need a map of the image's size; resize the layer's map first.")
    if truth is not None and truth.shape != labels.shape:
        raise UserError(f"The ground truth is {truth.shape}, the image {labels.shape}; they must be of one size.")
    region, target = compared_with(attribution.target), attribution.target
    values = attribution.values.astype(np.float64)
    absolute = np.abs(values).sum(axis=(1, 2))
    return AttributionStatistics(
        mean=float(magnitude.mean()),
        std=float(magnitude.std()),
        minimum=float(magnitude.min()),
        maximum=float(magnitude.max()),
        predicted=region_share(magnitude, _region(region, target, labels)),
        truth=None
        if truth is None or region == "explained"
        else region_share(magnitude, _region(region, target, truth), truth != IGNORED),
        channel_sums=tuple(map(float, values.sum(axis=(1, 2)))),
        channel_shares=tuple(_ratio(float(share), float(absolute.sum())) for share in absolute),
    )


def compared_with(target: Target) -> Region:
    """The region that the map of a target is compared with, inside against outside.

    "class": the pixels of the class explained. Where each pixel's own class is explained, "explained": the pixels
    explained, or "foreground", every class but the first, where these are all of the image.
    """
    if target.class_index != PREDICTED:
        return "class"
    return "foreground" if np.all(target.mask) else "explained"


def _region(kind: Region, target: Target, labels: np.ndarray) -> np.ndarray:
    """Bool (H, W): its pixels by `labels`, which are those predicted or those of the ground truth."""
    return np.asarray(target.mask) != 0 if kind == "explained" else region_of(labels, target.class_index)


def region_of(labels: np.ndarray, class_index: int) -> np.ndarray:
    """Bool (H, W): the pixels of a class; for `PREDICTED`, the foreground: every class but the first."""
    return (labels > 0) & (labels != IGNORED) if class_index == PREDICTED else labels == class_index


def region_share(magnitude: np.ndarray, region: np.ndarray, known: np.ndarray | None = None) -> RegionShare:
    """A map of magnitudes (H, W) inside a region, bool (H, W), against outside it, among the `known` pixels."""
    if known is not None:
        magnitude, region = magnitude[known], region[known]
    if not region.size:
        return RegionShare(0, 0.0, *[float("nan")] * 4)
    inside, outside = magnitude[region], magnitude[~region]
    mean_inside, mean_outside = (_ratio(float(part.sum()), part.size) for part in (inside, outside))
    return RegionShare(
        area=int(region.sum()),
        area_ratio=float(region.mean()),
        inside=mean_inside,
        outside=mean_outside,
        ratio=_ratio(mean_inside, mean_outside),
        mass=_ratio(float(inside.sum()), float(magnitude.sum())),
    )


def _ratio(value: float, to: float) -> float:
    return value / to if to else float("nan")
