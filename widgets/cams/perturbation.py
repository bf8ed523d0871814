"""Score-CAM and Ablation-CAM, which run the network once per channel: computed on demand, in the background."""

import streamlit as st

from core.attribution import Attribution
from core.attribution.registry import METHODS, explain
from core.display.words import duration
from core.models.layers import Layer
from widgets.shared.pixel_set_picker import Question
from widgets.shared.run_time import seconds_per_image
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import compute_in_background, start_button


def perturbation_map(
    selection: Selection, question: Question, layer: Layer, method: str, place: str
) -> Attribution | None:
    """The map; None, with its cost or its progress on the page, until it is there."""
    title, segmenter, image = METHODS[method].title, selection.segmenter, selection.image
    key = "cam", *selection.key, question.key, layer.name, method

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
        lambda progress: explain(segmenter, image.values, question.target, method, {"layer": layer.name}, progress),
    )  # fmt: skip
