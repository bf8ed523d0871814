"""Whether a map's importance lies inside a mask, such as that of the object explained: four metrics."""

from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..similarity import top_places
from .registry import Evidence, MapUnderTest, Metric, register


@dataclass(frozen=True)
class Localisation:
    """Four ways to say how far a map points into a mask; higher is more inside, each 0 to 1.

    A network may rightly look beside the mask, so a low number is no fault of the map. For a map that has nothing to do
    with the mask, the first three are `area_ratio` on average and the last is 0.5. All are NaN where the mask is empty,
    or the map has values that are not finite.

    Attributes:
        mass_inside: Σ of the positive importance inside / Σ of it everywhere; NaN where there is none.
        top_k: The share of the k most important pixels that lie inside; k is the mask's area unless said otherwise.
            Ties share the last places in equal parts.
        pointing_game: 1 where the most important pixel lies inside, without any tolerance, else 0; of tied maxima the
            share that does (Zhang et al., "Top-down neural attention by excitation backprop", 2016, allow 15 pixels).
        localisation_auc: The area under the ROC curve: the probability that a pixel inside is more important than one
            outside, ties counting half; NaN where the mask is full.
        area_ratio: The mask's share of the pixels.
    """

    mass_inside: float
    top_k: float
    pointing_game: float
    localisation_auc: float
    area_ratio: float


def localisation(
    importance: np.ndarray, mask: np.ndarray, known: np.ndarray | None = None, fraction: float | None = None
) -> Localisation:
    """How far the importance lies inside a mask.

    Args:
        importance: (H, W), the higher the more important; signed maps are allowed.
        mask: Bool (H, W).
        known: Bool (H, W), the pixels that count; None takes all. Leave out those that nobody has labelled.
        fraction: k of `top_k` as a fraction of the pixels, in (0, 1]; None takes the mask's area.

    Raises:
        UserError: Arrays of different sizes, a mask that is not boolean, or a fraction out of range.
    """
    _check(importance, mask, known, fraction)
    values = (importance if known is None else importance[known]).ravel().astype(np.float64)
    inside = (mask if known is None else mask[known]).ravel()
    area = int(inside.sum())
    area_ratio = area / inside.size if inside.size else float("nan")
    if not area or not np.isfinite(values).all():
        return Localisation(*(float("nan"),) * 4, area_ratio=area_ratio)
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import

    positive = np.maximum(values, 0)
    total = float(positive.sum())
    outside = inside.size - area
    pairs_won = rankdata(values)[inside].sum() - area * (area + 1) / 2
    count = area if fraction is None else max(1, round(fraction * values.size))
    return Localisation(
        mass_inside=float(positive[inside].sum()) / total if total else float("nan"),
        top_k=float(top_places(values, count)[inside].sum()) / count,
        pointing_game=float(inside[values == values.max()].mean()),
        localisation_auc=float(pairs_won / (area * outside)) if outside else float("nan"),
        area_ratio=area_ratio,
    )


def _check(importance: np.ndarray, mask: np.ndarray, known: np.ndarray | None, fraction: float | None) -> None:
    for name, array in (("mask", mask), ("known pixels", known)):
        if array is None:
            continue
        if array.dtype != bool:
            raise UserError(f"The {name} are given as booleans; compare the labels with a class first.")
        if array.shape != importance.shape:
            raise UserError(f"The map is {importance.shape}, the {name} {array.shape}; they must be of one size.")
    if fraction is not None and not 0 < fraction <= 1:
        raise UserError(f"The fraction of the top pixels lies above 0 and at most at 1; {fraction} was given.")


def _localisation(tested: MapUnderTest) -> Localisation:
    assert tested.region is not None  # noqa: S101 - without an object, no metric that needs one is measured
    return localisation(tested.candidate.importance, tested.region, tested.known)


_LOCALISATION = Evidence(_localisation)


class LocalisationMetric(Metric):
    """A metric of how far a map lies on the object: the field of `Localisation` that has the metric's name."""

    category = "localisation"
    direction = "higher"
    needs = (_LOCALISATION,)
    needs_object = True

    def measure(self, tested: MapUnderTest) -> float:
        return float(getattr(tested.read(_LOCALISATION), self.name))


@register
class MassInside(LocalisationMetric):
    name = "mass_inside"
    title = "Mass inside"
    question = "How much of the map lies on the object? A right network may look elsewhere."


@register
class TopK(LocalisationMetric):
    name = "top_k"
    title = "Top-k"
    question = "How many of the k most important pixels lie on the object, with k its size?"


@register
class PointingGame(LocalisationMetric):
    name = "pointing_game"
    title = "Pointing game"
    question = "Does the largest value lie on the object?"


@register
class LocalisationAuc(LocalisationMetric):
    name = "localisation_auc"
    title = "Localisation AUC"
    question = "How well does the map tell pixels of the object from the others? 0.5 is chance."
