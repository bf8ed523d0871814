"""A word before work that takes long."""

import streamlit as st

from core.attribution.gradient_cost import gradient_cost
from core.display.words import duration
from core.segmenter import Segmenter
from widgets.shared.sources import PickedImage

LARGE_PIXELS = 2_000_000


def confirm_large_image(segmenter: Segmenter, image: PickedImage) -> None:
    """For a large image, say what a click will cost and stop the page until the user wants it."""
    pixels = image.values[0].size
    key = f"agreed-{image.hash}-{segmenter.weights_hash}"
    if pixels <= LARGE_PIXELS or st.session_state.get(key):
        return
    cost = gradient_cost(segmenter, image.values)
    st.warning(
        f"{image.name} has {pixels / 1e6:.1f} megapixels: every click will take about {duration(cost.seconds)} and "
        f"{cost.memory_bytes / 1e9:.1f} GB of memory on {segmenter.device}. A crop answers the same question faster.",
        icon=":material/hourglass_top:",
    )
    if st.button("Explain it all the same"):
        st.session_state[key] = True
        st.rerun()
    st.stop()
