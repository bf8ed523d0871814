"""What if: edit the image and see what the network makes of it."""

import streamlit as st

from core.segmenter import Prediction
from widgets.shared.header import page_header
from widgets.shared.sidebar import Selection, pick_selection, side_bar
from widgets.shared.user_errors import show_user_errors
from widgets.what_if.directions import directions_panel
from widgets.what_if.fragility import fragility_panel
from widgets.what_if.map_test import map_test_panel
from widgets.what_if.paint import paint_panel
from widgets.what_if.smallest_change import smallest_change_panel

PANELS = {
    "Paint": paint_panel,
    "Test a map": map_test_panel,
    "Smallest change": smallest_change_panel,
    "Fragility map": fragility_panel,
    "Directions": directions_panel,
}


def main() -> None:
    page_header(
        "And if it were different?",
        "Paint over the image and watch the label follow. An explanation that is true foretells what happens.",
    )
    with show_user_errors():
        with side_bar() as files:
            selection = pick_selection(files)
        explore(selection, selection.predict())


@st.fragment
@show_user_errors()
def explore(selection: Selection, prediction: Prediction) -> None:
    chosen = st.segmented_control(
        "What is changed", list(PANELS), default="Paint", required=True, key="what_if", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    PANELS[chosen](selection, prediction)


main()
