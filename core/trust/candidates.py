"""Maps under test, and the controls beside them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..attribution.attribution import Attribution
from ..attribution.registry import METHODS, Values, explain, importance, predicted_drops
from ..compute.progress import Progress
from ..segmenter import Segmenter
from ..target import Target
from .controls import CONTROLS, control
from .perturbed_runs import RemovalSettings


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
        agreeing: Rank correlation with each control, by its name, that the map agrees with, see `agreeing_controls`;
            empty where it was not looked for.
    """

    title: str
    importance: np.ndarray
    drops: np.ndarray | None = None
    again: Callable[[np.ndarray], np.ndarray] | None = None
    is_control: bool = False
    seconds: float = 0.0
    layer: str = ""
    agreeing: Mapping[str, float] = field(default_factory=dict)

    @property
    def predicted_drops(self) -> np.ndarray:
        """`drops`, or the importance where there are none."""
        return self.importance if self.drops is None else self.drops


def candidates_of(
    attributions: Iterable[tuple[str, Attribution]],
    segmenter: Segmenter,
    image: np.ndarray,
    target: Target,
    removal: RemovalSettings,
    settings: Values,
    progress: Progress | None = None,
) -> dict[str, Candidate]:
    """Attributions of a target as candidates by the name of their method, and the controls after them.

    Args:
        attributions: By names in `METHODS`.
        segmenter: The network.
        image: (C, H, W), the image explained.
        target: What all of them explain.
        removal: What pixels become when they are taken away; its seed is that of the controls.
        settings: Settings of the methods by name, for the maps of other images.
        progress: See `Progress`; counts the passes of such a map.
    """
    fill = removal.fill_of(image)

    def candidate(name: str, found: Attribution) -> Candidate:
        def again(other: np.ndarray) -> np.ndarray:
            return importance(explain(segmenter, other, target, name, settings, progress))

        drops, layer = predicted_drops(found, image, fill), found.layer or ""
        return Candidate(METHODS[name].title, importance(found), drops, again, seconds=found.seconds, layer=layer)

    methods = {name: candidate(name, found) for name, found in attributions}
    return methods | control_candidates(image, target, removal.seed)


def control_candidates(image: np.ndarray, target: Target, seed: int = 0) -> dict[str, Candidate]:
    """All controls as candidates, by name."""

    def candidate(name: str) -> Candidate:
        again = partial(control, name, target=target, seed=seed)
        return Candidate(CONTROLS[name].title, again(image), again=again, is_control=True)

    return {name: candidate(name) for name in CONTROLS}
