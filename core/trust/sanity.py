"""Sanity checks: a map that explains a network must change when the network forgets what it has learned.

Adebayo et al., "Sanity checks for saliency maps", 2018: weights randomised layer by layer (`sanity_check`), and a
network trained on the wrong masks (`data_check`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch

from ..compute.progress import Progress
from ..errors import UserError
from ..segmenter import Image, Segmenter
from ..target import Target
from .randomisation import layers_from_the_top, randomised
from .similarity import FEWEST_PIXELS, detail_correlation, rank_correlation, structural_similarity

Mode = Literal["cascading", "independent"]
Verdict = Literal["passed", "failed", "undecided"]
Explainer = Callable[[Segmenter, Image, Target], np.ndarray]
"""Gives the importance (H, W) of each pixel, as `core.attribution.registry.importance` does."""

THRESHOLD = 0.25
"""|Correlation| of the details above which two maps count as the same picture."""


@dataclass(frozen=True)
class Likeness:
    """How alike the magnitudes |importance| of two maps are; magnitudes, as a new network may turn the sign round.

    Attributes:
        ssim: `structural_similarity`.
        rank_correlation: Spearman's ρ. High for any two maps of one small region, as they fade with the distance.
        details: `detail_correlation`, which does not see that: the verdict goes by it. 0 where the original varies
            and the other map is the same everywhere, as all 0: that map has plainly changed.
    """

    ssim: float
    rank_correlation: float
    details: float


@dataclass(frozen=True, eq=False)
class Stage:
    """One randomised copy of the network and its map.

    Attributes:
        layers: Layers randomised in it.
        importance: (H, W); NaN where the copy gave no finite values.
        labels: Int64 (H, W), what it predicts; -1 where it gave no finite values.
        likeness: Likeness of its map to the original.
    """

    layers: tuple[str, ...]
    importance: np.ndarray
    labels: np.ndarray
    likeness: Likeness


@dataclass(frozen=True, eq=False)
class Check:
    """A check with a verdict.

    Attributes:
        method: Name of the method, for the sentence.
        original: (H, W), the importance for the network as it is, or as it was trained on true masks.
    """

    method: str
    original: np.ndarray

    @property
    def details(self) -> float:
        """|Correlation| of the details of the maps compared, in [0, 1]."""
        raise NotImplementedError

    @property
    def verdict(self) -> Verdict:
        """By `details` against `THRESHOLD`: "passed" where the map changes, as it must; "undecided" where it is NaN."""
        if np.isnan(self.details):
            return "undecided"
        return "passed" if self.details <= THRESHOLD else "failed"


@dataclass(frozen=True, eq=False)
class SanityCheck(Check):
    """What randomising the weights does to a method's map.

    Attributes:
        mode: "cascading": each stage randomises what the one before did and more, from the output down; "independent":
            each randomises its own layers only. Each cascading stage draws all its layers again, where Adebayo et al.
            keep the draws of the stage before: a lucky draw of one layer would decide all stages after it.
        stages: In the order of `layers_from_the_top`.
    """

    mode: Mode
    stages: tuple[Stage, ...]

    @property
    def details(self) -> float:
        """The median |correlation| of details, with at least half of the layers randomised.

        Not only with all of them: a method that rebuilds the image from the features of the first layers, as guided
        backpropagation does, keeps its map while all layers above are random. NaN where no such stage has a
        correlation, and for independent stages, none of which randomises so much.
        """
        found = [abs(stage.likeness.details) for stage in self.counted]
        known = [details for details in found if not np.isnan(details)]
        return float(np.median(known)) if known else float("nan")

    @property
    def counted(self) -> list[Stage]:
        """The stages that the verdict goes by: of a cascade, those with at least half of the layers randomised."""
        most = max(len(stage.layers) for stage in self.stages)
        return [stage for stage in self.stages if self.mode == "cascading" and 2 * len(stage.layers) >= most]

    def in_words(self) -> str:
        """The verdict in one sentence; for independent stages, what the map depends on."""
        name = self.method
        if self.mode == "independent":
            return f"{name}: {self._most_and_least()}."
        number = f"{self.details:.2f} of 1 in the median of these stages; up to {THRESHOLD} counts as changed"
        return {
            "passed": f"{name} passes: with half or more of the layers randomised, its map changes even in its details "
            f"({number}).",
            "failed": f"{name} fails: with half or more of the layers randomised, its map keeps its details ({number}),"
            " so they show the image or the target's place more than what the network has learned.",
            "undecided": f"{name} cannot be judged here: its map is the same everywhere or other than 0 at fewer than "
            f"{FEWEST_PIXELS} pixels, or the randomised networks gave no finite values.",
        }[self.verdict]

    def _most_and_least(self) -> str:
        known = [stage for stage in self.stages if not np.isnan(stage.likeness.details)]
        if not known:
            return "no randomised network gave a map that can be compared"
        known.sort(key=lambda stage: abs(stage.likeness.details))
        most, least = (
            f"{' to '.join(dict.fromkeys(f'“{layer}”' for layer in (stage.layers[0], stage.layers[-1])))} "
            f"({abs(stage.likeness.details):.2f} of 1 stays)"
            for stage in (known[0], known[-1])
        )
        return f"with one part randomised at a time, the map changes most with {most} and least with {least}"


@dataclass(frozen=True, eq=False)
class DataCheck(Check):
    """A method's maps of two networks, one trained on true masks, one on wrong ones.

    Attributes:
        mistaught: (H, W), the importance for the network that was trained on wrong masks.
        likeness: Likeness of the two.
    """

    mistaught: np.ndarray
    likeness: Likeness

    @property
    def details(self) -> float:
        """|Correlation| of the details of the two maps."""
        return abs(self.likeness.details)

    def in_words(self) -> str:
        """The verdict in one sentence."""
        name, number = self.method, f"{self.details:.2f} of 1; up to {THRESHOLD} counts as different"
        return {
            "passed": f"{name} passes: a network trained on wrong masks gets another map ({number}).",
            "failed": f"{name} fails: a network trained on wrong masks gets the same map in its details ({number}).",
            "undecided": f"{name} cannot be judged here: the map of the network trained on true masks is the same "
            f"everywhere, or the two maps are not finite or other than 0 at fewer than {FEWEST_PIXELS} pixels.",
        }[self.verdict]


def sanity_check(
    segmenter: Segmenter,
    image: Image,
    target: Target,
    explain: Explainer,
    mode: Mode = "cascading",
    n_stages: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    name: str = "The method",
    show: Callable[[SanityCheck], object] | None = None,
) -> SanityCheck:
    """A method's maps of copies of the network with randomised weights; see `randomised`.

    The segmenter itself is left as it is. A large region is the better target: the map of one pixel shows above all
    where that pixel is, with any weights.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        target: The scalar explained, the same for all copies.
        explain: The method; it is called with the network and with each copy.
        mode: See `SanityCheck`.
        n_stages: Number of groups of layers; None takes each layer by itself.
        seed: Seed of the weights, which are drawn for each stage by itself.
        progress: See `Progress`; counts stages.
        name: Name of the method, for the sentence.
        show: Called with the check of the stages so far, after each.

    Raises:
        UserError: An unknown mode, fewer than one stage, a network that cannot be randomised, or as the method.
    """
    if mode not in get_args(Mode):
        raise UserError(f'The mode is one of {", ".join(get_args(Mode))}; "{mode}" was given.')
    if n_stages is not None and n_stages < 1:
        raise UserError(f"A sanity check has at least one stage; {n_stages} was given.")
    batch = segmenter.as_batch(image, single=True)
    original = explain(segmenter, image, target)
    layers = layers_from_the_top(segmenter, (batch.shape[2], batch.shape[3]))
    count = min(n_stages or len(layers), len(layers))
    ends = [round(len(layers) * (number + 1) / count) for number in range(count)]
    starts = [0] * count if mode == "cascading" else [0, *ends[:-1]]
    groups = [layers[start:end] for start, end in zip(starts, ends, strict=True)]
    stages = []
    for number, group in enumerate(groups):
        copy = randomised(segmenter, group, seed * len(groups) + number)  # or one lucky draw would decide all stages
        importance, labels = _explained(copy, image, target, explain, original.shape)
        stages.append(Stage(tuple(group), importance, labels, likeness(original, importance)))
        found = SanityCheck(name, original, mode, tuple(stages))
        if show is not None:
            show(found)
        if progress is not None:
            progress(len(stages), len(groups))
    return found


def data_check(
    trained: Segmenter, mistaught: Segmenter, image: Image, target: Target, explain: Explainer, name: str = "The method"
) -> DataCheck:
    """A method's maps of a network trained on true masks, and of one of its kind trained on those of other images.

    The other arguments, and what is raised, as in `sanity_check`; the target is the same for both networks.
    """
    original, other = (explain(segmenter, image, target) for segmenter in (trained, mistaught))
    return DataCheck(name, original, other, likeness(original, other))


def likeness(original: np.ndarray, changed: np.ndarray) -> Likeness:
    """How alike two maps of importance (H, W) are; see `Likeness`.

    Numbers are NaN where a map is not finite or the original is the same everywhere, those of details also where
    fewer than 50 pixels are compared.

    Raises:
        UserError: Maps of different sizes.
    """
    one, other = np.abs(original), np.abs(changed)
    details = detail_correlation(one, other)
    if np.isfinite(one).all() and np.ptp(one) > 0 and np.ptp(other) == 0:
        details = 0.0
    return Likeness(structural_similarity(one, other), rank_correlation(one, other)[0], details)


def _explained(
    copy: Segmenter, image: Image, target: Target, explain: Explainer, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The map and the labels; weights drawn at random may well give values that are not finite."""
    try:
        return explain(copy, image, target), copy.predict(image).labels
    except UserError:
        with torch.no_grad():
            if bool(torch.isfinite(copy.unchecked_logits(copy.as_batch(image))).all()):
                raise
        return np.full(shape, np.nan, np.float32), np.full(shape, -1)
