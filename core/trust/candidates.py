"""Maps that are put to the test, and the controls beside them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..attribution.attribution import Attribution
from ..attribution.registry import importance, predicted_drops
from ..target import Target
from .controls import CONTROLS, control


@dataclass(frozen=True, eq=False)
class Candidate:
    """A map that is put to the test.

    Attributes:
        title: Name on screen.
        importance: Float32 (H, W), higher matters more: what is ranked and localised.
        drops: Float64 (H, W), by how much the map says the score drops when a pixel goes; None takes the importance.
        again: Makes the importance of another image (C, H, W), for max-sensitivity; None where that is not possible.
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
    def said_drops(self) -> np.ndarray:
        """`drops`, or the importance where there are none."""
        return self.importance if self.drops is None else self.drops


def candidate_of(
    attribution: Attribution,
    title: str,
    image: np.ndarray,
    fill: np.ndarray,
    explain: Callable[[np.ndarray], Attribution] | None = None,
) -> Candidate:
    """An attribution as a candidate.

    Args:
        attribution: Attribution of the image.
        title: Name on screen.
        image: (C, H, W).
        fill: (C, H, W), what pixels become when they are taken away.
        explain: Makes the attribution of another image, for max-sensitivity.
    """
    return Candidate(
        title,
        importance(attribution),
        predicted_drops(attribution, image, fill),
        None if explain is None else lambda noisy: importance(explain(noisy)),
        seconds=attribution.seconds,
        layer=attribution.layer or "",
    )


def control_candidates(image: np.ndarray, target: Target, seed: int = 0) -> dict[str, Candidate]:
    """All controls as candidates, by name."""

    def candidate(name: str) -> Candidate:
        again = partial(control, name, target=target, seed=seed)
        return Candidate(CONTROLS[name].title, again(image), again=again, is_control=True)

    return {name: candidate(name) for name in CONTROLS}
