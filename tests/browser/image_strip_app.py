"""Two small pages with the image picker and the strip, for `test_image_strip.py`."""

import streamlit as st

from widgets.shared.image_strip import image_strip
from widgets.shared.model_picker import pick_model
from widgets.shared.sources import pick_image
from widgets.shared.user_errors import show_user_errors


def show() -> None:
    with show_user_errors():
        with st.sidebar:
            segmenter = pick_model()
        try:
            with st.sidebar:
                image = pick_image(segmenter)
        finally:
            image_strip(segmenter)
        truth = "none" if image.truth is None else image.truth.sum()
        st.text(f"{image.name} {image.values.shape} truth {truth}")


def second() -> None:
    show()


st.set_page_config(layout="wide")
st.navigation([st.Page(show, title="First", default=True), st.Page(second, title="Second")]).run()
