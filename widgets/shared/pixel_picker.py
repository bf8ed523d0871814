"""The clickable picture: its component can be replaced here alone.

The value of streamlit-plotly-events is a state, not an event: the last click comes back at every rerun. So a click
counts only if it differs from the last one taken. For the same pixel to be clicked again after the page has moved
elsewhere, an empty trace before the picture shifts the picture's curve number, and with it the next click's value.
"""

import json

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from streamlit_plotly_events import plotly_events

from core.display.figures import MODE_BAR_HEIGHT, add_crosshair, picture_figure

_STATE = "_pixel_picker"
_FRAME_MARGIN = 8
"""CSS pixels between the top of the frame and the component, which would be cut off at the bottom."""


def take_click(key: str) -> tuple[int, int] | None:
    """The (row, column) of a click that has not been taken yet, else None.

    Call it before the widgets that show the pixel and before `pixel_picker`.
    """
    picker = _picker(key)
    value = st.session_state.get(key)
    if not value or value == "[]":  # the component is new in the page
        picker["taken"] = None
        return None
    if value == picker["taken"]:
        return None
    picker["taken"] = value
    return _pixel(value)


def pixel_picker(picture: np.ndarray, row: int, column: int, key: str, height: int) -> None:
    """Show a picture (H, W, 3) uint8, `height` CSS pixels high, with a crosshair; `take_click` returns the next click.

    The key names the image: under one key the zoom is kept, and the size of the picture must stay the same.
    """
    figure = add_crosshair(picture_figure(picture, revision=key, margin=0), row, column, picture.shape)
    if _curve_number(_picker(key)["taken"], (row, column)):
        figure = go.Figure([go.Scatter(x=[], y=[]), *figure.data], figure.layout)
    figure.update_layout(margin_b=_FRAME_MARGIN)
    plotly_events(figure, click_event=True, override_height=height + MODE_BAR_HEIGHT + _FRAME_MARGIN, key=key)


def _curve_number(taken: str | None, shown: tuple[int, int]) -> int:
    """Curve number of the picture: that of the last click, or the other one if the page has moved on since."""
    if taken is None:
        return 0
    last = int(json.loads(taken)[0].get("curveNumber", 0))
    return last if _pixel(taken) == shown else 1 - last


def _pixel(value: str) -> tuple[int, int]:
    point = json.loads(value)[0]
    return int(point["y"]), int(point["x"])


def _picker(key: str) -> dict:
    return st.session_state.setdefault(_STATE, {}).setdefault(key, {"taken": None})
