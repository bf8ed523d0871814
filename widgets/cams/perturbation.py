"""Score-CAM and Ablation-CAM, which run the network once per channel: on demand, with progress, stopped by a click."""

import time
from collections.abc import Hashable

import streamlit as st

from core.attribution import Attribution
from core.attribution.registry import METHODS, explain
from core.display.words import duration
from core.models.layers import Layer
from core.segmenter import Segmenter
from core.target import Target
from widgets.shared.results import results
from widgets.shared.sources import PickedImage

_WANTED = "_wanted_cams"
_TRIALS = 3


def perturbation_map(
    segmenter: Segmenter, image: PickedImage, target: Target, target_key: Hashable, layer: Layer,
    method: str,
) -> Attribution | None:  # fmt: skip
    """The map, or None with a word of what it costs until the user wants it.

    Any click stops the computation: the run that it starts takes the place of the one that computes. Pressing Cancel
    moreover takes the wish back.
    """
    title = METHODS[method].title
    key = "cam", segmenter.weights_hash, str(segmenter.device), image.hash, target_key, layer.name, method
    wanted: set[Hashable] = st.session_state.setdefault(_WANTED, set())
    if key not in wanted:
        seconds = layer.channels * seconds_of_a_run(segmenter, image)
        st.info(
            f"{title} runs the network once for each of the {layer.channels} channels of {layer.name}: "
            f"about {duration(seconds)}.",
            icon=":material/hourglass_top:",
        )
        st.button(f"Compute {title}", icon=":material/play_arrow:", type="primary", key=f"run-{method}",
                  on_click=wanted.add, args=(key,))  # fmt: skip
        return None

    def compute() -> Attribution:
        slot, started = st.empty(), time.monotonic()
        with slot.container():
            bar = st.progress(0.0, f"{title}…")
            st.button("Cancel", icon=":material/stop:", key=f"cancel-{method}", on_click=wanted.discard, args=(key,))

        def tell(done: int, total: int) -> None:
            left = (time.monotonic() - started) / max(done, 1) * (total - done)
            bar.progress(done / total, f"{title}: {done} of {total} channels, {duration(left)} left")

        try:
            return explain(segmenter, image.values, target, method, {"layer": layer.name}, tell)
        finally:
            slot.empty()

    return results().get_or_compute(key, compute)


def seconds_of_a_run(segmenter: Segmenter, image: PickedImage) -> float:
    """What one image takes on its way through the network, measured once a model and size."""

    def timed() -> float:
        seconds = []
        for _ in range(_TRIALS):
            started = time.perf_counter()
            segmenter.predict(image.values)
            seconds.append(time.perf_counter() - started)
        return min(seconds)

    key = "seconds of a run", segmenter.weights_hash, str(segmenter.device), image.values.shape
    return results().get_or_compute(key, timed)
