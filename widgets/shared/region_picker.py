"""Draw a box or a lasso on a picture: Plotly's own selection, kept as text in the session state and in the URL."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.display.colours import SELECTION
from core.display.figures import COLOUR_BAR_HEIGHT, FRAME_HEIGHT, picture_figure
from core.errors import UserError
from core.pixel_sets import PixelSet

Mode = Literal["box", "lasso"]

_KEPT = "_drawn_regions"
_LABELS: dict[Mode, str] = {
    "box": "Box: first row, first column, last row, last column",
    "lasso": "Lasso: its corners, each as row,column",
}
_INVITATIONS: dict[Mode, str] = {
    "box": "No box yet: drag a rectangle over the picture.",
    "lasso": "No lasso yet: hold the button down and draw around some pixels.",
}
_EXAMPLES: dict[Mode, str] = {"box": "10,20,60,90", "lasso": "10,20 10,90 60,55"}


@dataclass(frozen=True)
class Region:
    """A box or a lasso as it was drawn, in fractions of pixels; (0, 0) is the centre of the first pixel.

    Attributes:
        box: Top, left, bottom and right edge.
        lasso: Corners (row, column).
    """

    box: tuple[float, float, float, float] | None = None
    lasso: tuple[tuple[float, float], ...] | None = None

    @property
    def pixel_set(self) -> PixelSet:
        """The pixels whose centres lie inside, as a choice that applies to any image.

        Raises:
            UserError: A box between the centres of the pixels.
        """
        if self.box is None:
            return PixelSet("lasso", lasso=self.lasso)
        first_row, first_column = np.ceil(self.box[:2]).astype(int).tolist()
        last_row, last_column = np.floor(self.box[2:]).astype(int).tolist()
        if first_row > last_row or first_column > last_column:
            raise UserError("There is no pixel's centre inside the box; draw it larger, or choose a single pixel.")
        return PixelSet("box", box=(first_row, first_column, last_row, last_column))

    @property
    def text(self) -> str:
        """The region as written in the URL and on the command line."""
        if self.box is not None:
            return ",".join(f"{value:.1f}" for value in self.box)
        return " ".join(f"{row:.1f},{column:.1f}" for row, column in self.lasso or ())


def region_picker(picture: np.ndarray, key: str, height: int, mode: Mode) -> Region | None:
    """Show a picture (H, W, 3) uint8 to draw a box or lasso on; the region drawn last, or None before there is one.

    The region is bound to the URL under the name of its mode, and can be typed too. The key names the image: pages with
    the same key share the region, and another key clears it. The picture is `height` CSS pixels high.

    Raises:
        UserError: The text typed, or in the URL, is no region.
    """
    _settle(key, mode)
    try:
        region = region_of(str(st.session_state.get(mode) or st.query_params.get(mode, "")), mode)
    except UserError:
        region = None  # the message comes below, with the field to correct it
    chart = f"{key}-{mode}"
    st.plotly_chart(
        _figure(picture, region, mode, key),
        height=height + FRAME_HEIGHT - COLOUR_BAR_HEIGHT,
        theme=None,
        config={"displayModeBar": False},
        key=chart,
        on_select=lambda: _take(chart, mode),
        selection_mode=mode,
    )
    slots = st.columns([2.2, 1], vertical_alignment="bottom")
    text = slots[0].text_input(
        _LABELS[mode], key=mode, bind="query-params", placeholder=_EXAMPLES[mode], label_visibility="collapsed"
    )
    slots[1].button(
        "Clear", key=f"clear-{mode}", on_click=_forget, args=(mode,), disabled=not text, width="stretch",
        help=f"Forget the {mode}.",
    )  # fmt: skip
    _kept()[mode] = text
    region = region_of(text, mode)
    if region is None:
        st.caption(_INVITATIONS[mode])
    return region


def region_of(text: str, mode: Mode) -> Region | None:
    """The region in a text such as "10,20,60,90" or "10,20 10,90 60,55"; None for an empty one.

    Raises:
        UserError: The text is no region.
    """
    if not text.strip():
        return None
    try:
        groups = [[float(number) for number in part.split(",")] for part in text.split()]
        numbers = [number for group in groups for number in group]
        if np.isfinite(numbers).all():
            if mode == "lasso":
                return Region(lasso=tuple((row, column) for row, column in groups))
            top, left, bottom, right = numbers
            return Region(box=(top, left, bottom, right))
    except ValueError:
        pass  # no number, or too few or too many
    what = "four numbers" if mode == "box" else "three or more corners"
    raise UserError(f'"{text}" is no {mode}: draw one, or write {what} such as {_EXAMPLES[mode]}.')


def drawn_region(selection: Any, mode: Mode) -> Region | None:
    """The last region in the selection that a chart reports, None where nothing was drawn."""
    if not selection.get(mode):
        return None
    drawn = selection[mode][-1]
    rows, columns = drawn["y"], drawn["x"]
    if mode == "box":
        return Region(box=(min(rows), min(columns), max(rows), max(columns)))
    return Region(lasso=tuple(zip(rows, columns, strict=True)))


def _take(chart: str, mode: Mode) -> None:
    """Keep what was just drawn: the changed picture is a new component, which knows nothing of it."""
    region = drawn_region(st.session_state[chart]["selection"], mode)
    if region is not None:
        st.session_state[mode] = region.text


def _forget(mode: Mode) -> None:
    st.session_state[mode] = ""
    _kept()[mode] = ""


def _settle(key: str, mode: Mode) -> None:
    kept = _kept()
    if kept.setdefault("key", key) != key:
        kept.clear()
        kept["key"] = key
        st.session_state[mode] = ""
    elif mode not in st.session_state and mode not in st.query_params and kept.get(mode):
        st.session_state[mode] = kept[mode]


def _kept() -> dict[str, str]:
    return st.session_state.setdefault(_KEPT, {})


def _figure(picture: np.ndarray, region: Region | None, mode: Mode, key: str) -> go.Figure:
    line = {"color": SELECTION, "width": 2}
    figure = picture_figure(picture, revision=key).update_layout(
        dragmode="select" if mode == "box" else "lasso",
        newselection={"line": {**line, "dash": "solid"}},
        selectionrevision=region.text if region else "",
    )
    if region is not None and region.box is not None:
        top, left, bottom, right = region.box
        figure.add_shape(type="rect", x0=left, x1=right, y0=top, y1=bottom, line=line)
    elif region is not None:
        corners = " L ".join(f"{column:g},{row:g}" for row, column in region.lasso or ())
        figure.add_shape(type="path", path=f"M {corners} Z", line=line)
    return figure
