"""Maps under test, and the controls beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..attribution.attribution import Attribution
from ..attribution.registry import METHODS, Values, explain, importance, predicted_drops
from ..compute.progress import Progress
from ..segmenter import Segmenter
from ..target import Target
from .controls import CONTROLS, control


@dataclass(frozen=True, eq=False)
class Candidate:
    """A map under test.

    Attributes:
        title: Name on screen.
        importance: Float32 (H, W), higher matters more: what is ranked and localised.
        drops: Float64 (H, W), the drop of the score that the map predicts when a pixel goes; None takes the importance.
        again: Computes the importance for another image (C, H, W), for max-sensitivity; None where it cannot.
        is_control: Whether it knows nothing of the network.
        seconds: Time that the map took; 0 for a control.
        layer: Layer of a class activation map; empty for others.
    """

    title: str
    importance: np.ndarray
    drops: np.ndarray | None = None
    again: Callable[[np.ndarray], np.ndarray] | None = None
    is_control: bool = False
    seconds: float = 0.0
    layer: str = ""

    @property
    def predicted_drops(self) -> np.ndarray:
        """`drops`, or the importance where there are none."""
        return self.importance if self.drops is None else self.drops


def candidate_of(
    attribution: Attribution,
    segmenter: Segmenter,
    image: np.ndarray,
    fill: np.ndarray,
    settings: Values,
    progress: Progress | None = None,
) -> Candidate:
    """The attribution of a method in `METHODS` as a candidate.

    Args:
        attribution: Attribution of the image.
        segmenter: The network.
        image: (C, H, W).
        fill: (C, H, W), what pixels become when they are taken away.
        settings: Settings of the method by name, for the maps of other images.
        progress: See `Progress`; counts the passes of such a map.
    """

    def again(other: np.ndarray) -> np.ndarray:
        return importance(explain(segmenter, other, attribution.target, attribution.method, settings, progress))

    return Candidate(
        METHODS[attribution.method].title,
        importance(attribution),
        predicted_drops(attribution, image, fill),
        again,
        seconds=attribution.seconds,
        layer=attribution.layer or "",
    )


def control_candidates(image: np.ndarray, target: Target, seed: int = 0) -> dict[str, Candidate]:
    """All controls as candidates, by name."""

    def candidate(name: str) -> Candidate:
        again = partial(control, name, target=target, seed=seed)
        return Candidate(CONTROLS[name].title, again(image), again=again, is_control=True)

    return {name: candidate(name) for name in CONTROLS}
