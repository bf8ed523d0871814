"""The pixel explained: one row and column in the session state and in the URL, whatever set them."""

import numpy as np
import streamlit as st

_IMAGE_OF_PIXEL = "_image_of_pixel"


def restore_pixel(name: str, labels: np.ndarray) -> tuple[int, int]:
    """The pixel to explain, inside an image with predicted `labels` (H, W).

    A pixel named by the URL or the widgets is kept, whatever model, scaling or page the image is looked at with. An
    image of another name or size gets a new one: of the foreground, nearest to the middle.
    """
    picture = name, labels.shape
    previous = st.session_state.get(_IMAGE_OF_PIXEL)
    st.session_state[_IMAGE_OF_PIXEL] = picture
    from_url = previous is None and {"row", "column"} <= set(st.query_params)
    if from_url or (previous == picture and "row" in st.session_state):
        row, column = _known("row"), _known("column")
        row, column = min(max(row, 0), labels.shape[0] - 1), min(max(column, 0), labels.shape[1] - 1)
    else:
        row, column = _foreground_near_middle(labels)
    set_pixel(row, column)
    return row, column


def set_pixel_of(name: str, size: tuple[int, int], row: int, column: int) -> None:
    """Make (row, column) the pixel explained of an image that the page has not shown yet."""
    st.session_state[_IMAGE_OF_PIXEL] = name, size
    set_pixel(row, column)


def set_pixel(row: int, column: int) -> None:
    """Make (row, column) the pixel explained."""
    for name, value in (("row", row), ("column", column)):
        if st.session_state.get(name) != value:
            st.session_state[name] = value


def _known(name: str) -> int:
    value = st.session_state.get(name, st.query_params.get(name, 0))
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _foreground_near_middle(labels: np.ndarray) -> tuple[int, int]:
    middle = labels.shape[0] // 2, labels.shape[1] // 2
    rows, columns = np.nonzero(labels)
    if len(rows) == 0:
        return middle
    nearest = int(np.argmin((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2))
    return int(rows[nearest]), int(columns[nearest])
