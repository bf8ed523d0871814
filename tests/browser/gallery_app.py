"""Two small pages with the image picker, for `test_gallery.py`."""

import streamlit as st

from widgets.shared.model_picker import pick_model
from widgets.shared.pixel_state import restore_pixel
from widgets.shared.sources import pick_image, predicted
from widgets.shared.user_errors import show_user_errors


def show() -> None:
    with show_user_errors():
        with st.sidebar:
            segmenter = pick_model()
            image = pick_image(segmenter)
        row, column = restore_pixel(image.name, predicted(segmenter, image).labels)
        truth = "none" if image.truth is None else image.truth.sum()
        st.text(f"{image.name} {image.values.shape} truth {truth} pixel {row} {column}")


def second() -> None:
    show()


st.set_page_config(layout="wide")
st.navigation([st.Page(show, title="First", default=True), st.Page(second, title="Second")]).run()
