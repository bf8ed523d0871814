"""One model, image and target under test, and its maps, each shown as soon as it is there."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.registry import METHODS, explain, importance
from core.display.colours import DIVERGING, FULL_COLOUR_PERCENTILE, SEQUENTIAL, ColourScale
from core.segmenter import Prediction, Segmenter
from core.target import Target
from core.trust.controls import CONTROLS, controls
from widgets.shared.pixel_set_picker import Question
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.shared.sources import PickedImage

USUAL_PERCENTILE = FULL_COLOUR_PERCENTILE
"""Where the colours of a map end unless a control says otherwise."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What is tested.

    Attributes:
        segmenter: The network.
        image: The image.
        prediction: The network's prediction for the image.
        question: Which score of which pixels is explained.
        methods: Names of the methods, in the order of display.
        settings: Settings of the methods, by name.
    """

    segmenter: Segmenter
    image: PickedImage
    prediction: Prediction
    question: Question
    methods: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def target(self) -> Target:
        """The scalar explained."""
        return self.question.target

    @cached_property
    def identity(self) -> Hashable:
        """The same for the same network, image, target and settings of the methods."""
        network, settings = (self.segmenter.weights_hash, str(self.segmenter.device)), sorted(self.settings.items())
        return network, self.image.hash, self.question.key, tuple(settings)

    @property
    def picture_key(self) -> str:
        """Names the image in viewers; see `Selection.picture_key`."""
        return Selection(self.segmenter, self.image).picture_key


@dataclass(frozen=True, eq=False)
class TrustMap:
    """A map compared with others.

    Attributes:
        name: Name of the method or the control.
        title: Name on screen.
        values: Float32 (H, W), higher matters more.
        unit: Unit of the values.
        attribution: What it was made from; None for a control.
    """

    name: str
    title: str
    values: np.ndarray
    unit: str
    attribution: Attribution | None

    @property
    def is_control(self) -> bool:
        """Whether it knows nothing of the network."""
        return self.attribution is None

    @property
    def is_signed(self) -> bool:
        """Whether 0 lies in the middle of its scale."""
        return self.name in METHODS and METHODS[self.name].is_signed

    def ends(self, percentiles: Sequence[float]) -> list[float]:
        """Where the colours end: at percentiles of what is not 0, so that a sparse map is not all dark."""
        low = self._low
        sizes = self.values if self.is_control else np.abs(self.values[self.values != 0])
        found = np.percentile(sizes, percentiles) if sizes.size else np.ones(len(percentiles))
        return [float(end) if end > low else low + 1.0 for end in found]

    def scale(self) -> ColourScale:
        """Its own colour scale, on which few pixels lie beyond the end."""
        (end,) = self.ends([USUAL_PERCENTILE])
        return ColourScale(-end, end, DIVERGING) if self.is_signed else ColourScale(self._low, end, SEQUENTIAL)

    @property
    def _low(self) -> float:
        return float(self.values.min()) if self.is_control else 0.0


def maps_there(trial: Trial, *, whole: bool = False) -> dict[str, TrustMap]:
    """The maps computed so far, the controls last; the `whole` of them also where some were pushed out of the store."""
    found: dict[str, TrustMap] = {}
    for name in METHODS:
        if name in trial.methods and (whole or map_key(trial, name) in results()):
            attribution, ranked = _computed(trial, name)
            place = " per position of the layer" if attribution.layer is not None else ""
            found[name] = TrustMap(name, METHODS[name].title, ranked, attribution.unit + place, attribution)
    of_controls = "controls", trial.image.hash, trial.question.key
    made = results().get_or_compute(of_controls, lambda: controls(trial.image.values, trial.target))
    return found | {name: TrustMap(name, one.title, made[name], one.unit, None) for name, one in CONTROLS.items()}


def map_key(trial: Trial, name: str) -> Hashable:
    """Key of a method's map, with the importance of its pixels, in `results()`."""
    return "map", trial.identity, name


def warn_if_empty(trial: Trial) -> bool:
    """Whether there is no pixel to explain; then a message says so."""
    if trial.question.mask.any():
        return False
    st.info(
        "The target has no pixel, so there is no score to follow; choose some pixels above.",
        icon=":material/select:",
    )
    return True


def _computed(trial: Trial, name: str) -> tuple[Attribution, np.ndarray]:
    def again() -> tuple[Attribution, np.ndarray]:
        """For a map that was pushed out of the store just now."""
        found = explain(trial.segmenter, trial.image.values, trial.target, name, trial.settings)
        return found, importance(found)

    return results().get_or_compute(map_key(trial, name), again)
