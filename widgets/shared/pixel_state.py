"""The pixel explained: one row and column in the session state and in the URL, whatever set them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.scoring.opening_pixel import opening_pixel
from core.segmenter import Prediction
from widgets.shared.looked_at import look_at_pixel_set

if TYPE_CHECKING:  # the picker of images may choose a pixel
    from widgets.shared.sources import PickedImage

_OPENING = "_opening_pixel"
_OPENED_WITH_TRUTH = "_opened_with_truth"
IMAGE_OF_PIXEL = "_image_of_pixel"
"""Key in the session state of the name and size of the image that the row and column belong to."""


def restore_pixel(image: "PickedImage", prediction: Prediction, class_names: Sequence[str]) -> tuple[int, int]:
    """The pixel to explain, inside the image.

    A pixel named by the URL or the widgets is kept, whatever model, scaling or page the image is looked at with. An
    image of another name or size gets a new one, worth explaining.
    """
    labels = prediction.labels
    picture = image.name, labels.shape
    previous = st.session_state.get(IMAGE_OF_PIXEL)
    st.session_state[IMAGE_OF_PIXEL] = picture
    has_truth = image.truth is not None
    if st.session_state.get(_OPENED_WITH_TRUTH) != has_truth:
        st.session_state.pop(_OPENING, None)  # why a pixel is worth explaining depends on the truth
    st.session_state[_OPENED_WITH_TRUTH] = has_truth
    from_url = previous is None and {"row", "column"} <= set(st.query_params)
    if from_url or (previous == picture and "row" in st.session_state):
        row, column = _known("row"), _known("column")
        row, column = min(max(row, 0), labels.shape[0] - 1), min(max(column, 0), labels.shape[1] - 1)
    else:
        opening = st.session_state[_OPENING] = opening_pixel(prediction, class_names, image.truth)
        row, column = opening.row, opening.column
    set_pixel(row, column)
    return row, column


def set_pixel_of(name: str, size: tuple[int, int], row: int, column: int) -> None:
    """Make (row, column) the pixel explained of an image that the page has not shown yet."""
    st.session_state[IMAGE_OF_PIXEL] = name, size
    st.session_state.pop(_OPENING, None)
    set_pixel(row, column)


def reason_of_opening(pixel: tuple[int, int]) -> str:
    """Why a page opened on this pixel; empty where somebody chose it."""
    opening = st.session_state.get(_OPENING)
    return opening.reason if opening is not None and (opening.row, opening.column) == pixel else ""


def look_at_pixel(pixel: tuple[int, int]) -> None:
    """Let the other pages begin with a pixel that somebody chose; what nobody chose leaves them as by their address."""
    if not reason_of_opening(pixel):
        look_at_pixel_set("point")


def set_pixel(row: int, column: int) -> None:
    """Make (row, column) the pixel explained."""
    for name, value in (("row", row), ("column", column)):
        if st.session_state.get(name) != value:
            st.session_state[name] = value


def shown_pixel() -> tuple[int, int]:
    """The pixel explained last."""
    return _known("row"), _known("column")


def _known(name: str) -> int:
    value = st.session_state.get(name, st.query_params.get(name, 0))
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
