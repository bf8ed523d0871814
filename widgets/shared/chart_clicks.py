"""Charts and pictures whose points can be clicked, through streamlit-plotly-events.

The value of that component is a state, not an event: the last click comes back at every rerun. So a click counts only
if it differs from the last one taken. For the same point to be clicked again after the page has moved elsewhere, empty
traces before those of the chart shift the curve numbers, and with them the next click's value.
"""

import json
from collections.abc import Sequence
from typing import TypedDict

import plotly.graph_objects as go
import streamlit as st
from streamlit_plotly_events import plotly_events

from widgets.shared.pixel_answers import Pixel

_STATE = "_chart_clicks"
_FRAME_MARGIN = 8
"""CSS pixels between the top of the frame and the component, which would be cut off at the bottom."""
_AXIS_HEIGHT = 60
"""CSS pixels for the axis below the chart, and for the margin of the frame, which cuts off what lies lower."""


class _Chart(TypedDict):
    """The click taken last and its pixel; the pixels of the points, None for a picture; the number of traces."""

    taken: str | None
    pixel: Pixel | None
    pixels: Sequence[Pixel] | None
    traces: int


def take_click(key: str) -> Pixel | None:
    """The pixel of a point whose click has not been taken yet, else None. Call it before `clickable_chart`."""
    chart = _chart(key)
    value = st.session_state.get(key)
    if not value or value == "[]":  # the component is new in the page
        chart["taken"] = None
        return None
    if value == chart["taken"]:
        return None
    chart["taken"], chart["pixel"] = value, _pixel(value, chart)
    return chart["pixel"]


def clickable_chart(figure: go.Figure, pixels: Sequence[Pixel] | None, shown: Pixel, key: str, height: int) -> None:
    """Show a chart `height` CSS pixels high; `take_click` returns the pixel of the next point that is clicked.

    Args:
        figure: The chart, its arrays as lists: the component draws typed arrays as nothing.
        pixels: The pixels that the points of its first trace stand for; None where that is a picture.
        shown: The pixel that the page explains.
        key: Key of the component, with the identity of the image.
        height: Height in CSS pixels.
    """
    chart = _chart(key)
    count = len(figure.data)
    if _has_shift(chart, shown):
        figure = go.Figure([go.Scatter(x=[], y=[]) for _ in range(count)] + list(figure.data), figure.layout)
    chart["pixels"], chart["traces"] = pixels, count
    figure.update_layout(margin_b=_FRAME_MARGIN if pixels is None else _AXIS_HEIGHT)
    plotly_events(figure, click_event=True, override_height=height, key=key)


def _has_shift(chart: _Chart, shown: Pixel) -> bool:
    """Whether empty traces come first: as at the last click, or the other way if the page has moved on since."""
    if chart["taken"] is None:
        return False
    last = int(json.loads(chart["taken"])[0].get("curveNumber", 0)) >= chart["traces"]
    return last if chart["pixel"] == shown else not last


def _pixel(value: str, chart: _Chart) -> Pixel | None:
    """The pixel of the point that was clicked; None for a point of another trace than the first."""
    for point in json.loads(value):
        if chart["pixels"] is None:
            return int(point["y"]), int(point["x"])
        curve, index = int(point.get("curveNumber", 0)), int(point.get("pointIndex", -1))
        if curve in (0, chart["traces"]) and 0 <= index < len(chart["pixels"]):
            return chart["pixels"][index]
    return None


def _chart(key: str) -> _Chart:
    charts: dict[str, _Chart] = st.session_state.setdefault(_STATE, {})
    return charts.setdefault(key, {"taken": None, "pixel": None, "pixels": (), "traces": 1})
