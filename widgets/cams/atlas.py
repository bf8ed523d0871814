"""The maps of one pixel set: the atlas of several layers and methods from one pass, and those that take longer."""

import dataclasses
import time
from collections.abc import Hashable, Sequence

import streamlit as st

from core.attribution import Attribution
from core.attribution.cam import Pooling, cam_atlas, gradient_methods
from core.attribution.registry import METHODS, explain
from core.display.words import duration
from core.models.layers import Layer
from widgets.cams.maps import Place, peaks_of
from widgets.shared.pixel_set_picker import Question
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import seconds_per_image


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """Maps of several layers and methods.

    Attributes:
        maps: By layer and method.
        peaks: Their largest magnitudes, from `peaks_of`.
        seconds: Time that all of them took together.
        key: The same for the same maps.
    """

    maps: dict[Place, Attribution]
    peaks: dict[Place, dict[str, float]]
    seconds: float
    key: Hashable


def atlas_of(selection: Selection, question: Question, layers: Sequence[str], window: int, pooling: Pooling) -> Atlas:
    """Every map from one pass."""
    key = "cam atlas", *selection.key, question.key, tuple(layers), gradient_methods(), window, pooling

    def compute() -> Atlas:
        started = time.perf_counter()
        maps = cam_atlas(
            selection.segmenter, selection.image.values, question.target, layers, window=window, pooling=pooling
        )
        seconds = time.perf_counter() - started
        return Atlas(maps, {place: peaks_of(one) for place, one in maps.items()}, seconds, key)

    return results().get_or_compute(key, compute)


def identity_of(selection: Selection, question: Question) -> Hashable:
    """What tells the question from others."""
    return *selection.key, question.key


def perturbation_map(
    selection: Selection, question: Question, layer: Layer, method: str, place: str
) -> Attribution | None:
    """A map that is not of the atlas, computed on demand; None, with its cost or progress shown, until then."""
    title, segmenter, image = METHODS[method].title, selection.segmenter, selection.image
    settings = {"layer": layer.name}
    key = "cam", identity_of(selection, question), layer.name, method

    def describe() -> None:
        _, height, width = image.values.shape
        own = METHODS[method].settings_from(settings)
        passes = METHODS[method].passes(own, segmenter, (height, width))
        images = f"{passes:,} {'image' if passes == 1 else 'images'}"
        seconds = duration(passes * seconds_per_image(segmenter, image))
        st.info(
            f"{title} runs {images} through the network for {layer.name}: about {seconds}.",
            icon=":material/hourglass_top:",
        )

    if not start_button(key, f"Compute {title} at {layer.name}", describe=describe, type="primary", key=f"run-{place}"):
        return None
    return compute_in_background(
        place, key, f"{title}, passes of the network",
        lambda progress: explain(segmenter, image.values, question.target, method, settings, progress),
    )  # fmt: skip
