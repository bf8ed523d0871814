"""Score-CAM and Ablation-CAM, which run the network once per channel: computed on demand, in the background."""

from collections.abc import Hashable

import streamlit as st

from core.attribution import Attribution
from core.attribution.registry import METHODS, explain
from core.display.words import duration
from core.models.layers import Layer
from core.segmenter import Segmenter
from core.target import Target
from widgets.shared.run_time import seconds_per_image
from widgets.shared.slow_work import compute_in_background, start_button
from widgets.shared.sources import PickedImage


def perturbation_map(
    segmenter: Segmenter, image: PickedImage, target: Target, target_key: Hashable, layer: Layer,
    method: str, place: str,
) -> Attribution | None:  # fmt: skip
    """The map; None, with its cost or its progress on the page, until it is there."""
    title = METHODS[method].title
    key = "cam", segmenter.weights_hash, str(segmenter.device), image.hash, target_key, layer.name, method

    def describe() -> None:
        seconds = layer.channels * seconds_per_image(segmenter, image)
        st.info(
            f"{title} runs the network once for each of the {layer.channels} channels of {layer.name}: "
            f"about {duration(seconds)}.",
            icon=":material/hourglass_top:",
        )

    if not start_button(key, f"Compute {title}", describe=describe, type="primary", key=f"run-{method}"):
        return None
    return compute_in_background(
        place, key, f"{title}, channels",
        lambda progress: explain(segmenter, image.values, target, method, {"layer": layer.name}, progress),
    )  # fmt: skip
