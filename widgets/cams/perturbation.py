"""Score-CAM and Ablation-CAM, which run the network once per channel: computed on demand, in the background."""

import time
from collections.abc import Hashable

import streamlit as st

from core.attribution import Attribution
from core.attribution.cam import TITLES, PerturbationMethod, cam
from core.display.words import duration
from core.models.layers import Layer
from core.segmenter import Segmenter
from core.target import Target
from widgets.shared.results import results
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import PickedImage

_TRIALS = 3


def perturbation_map(
    segmenter: Segmenter, image: PickedImage, target: Target, target_key: Hashable, layer: Layer,
    method: PerturbationMethod, place: str,
) -> Attribution | None:  # fmt: skip
    """The map; None, with its cost or its progress on the page, until it is there."""
    key = "cam", segmenter.weights_hash, str(segmenter.device), image.hash, target_key, layer.name, method

    def describe() -> None:
        seconds = layer.channels * seconds_per_image(segmenter, image)
        st.info(
            f"{TITLES[method]} runs the network once for each of the {layer.channels} channels of {layer.name}: "
            f"about {duration(seconds)}.",
            icon=":material/hourglass_top:",
        )

    if not start_button(key, f"Compute {TITLES[method]}", describe=describe, type="primary", key=f"run-{method}"):
        return None
    return compute_in_background(
        place, key, f"{TITLES[method]}, channels",
        lambda progress: cam(segmenter, image.values, target, layer.name, method, progress=progress),
    )  # fmt: skip


def seconds_per_image(segmenter: Segmenter, image: PickedImage) -> float:
    """Time that one image takes on its way through the network, measured once per model and size."""

    def timed() -> float:
        seconds = []
        for _ in range(_TRIALS):
            started = time.perf_counter()
            segmenter.predict(image.values)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    key = "seconds of a run", segmenter.weights_hash, str(segmenter.device), image.values.shape
    return results().get_or_compute(key, timed)
