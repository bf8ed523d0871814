"""Library: the networks and data sets at hand, and how well one does on the other."""

import streamlit as st

from widgets.library.data_sets import data_sets_part
from widgets.library.networks import networks_part
from widgets.library.scores import scores_part
from widgets.shared.header import page_header

_PARTS = {
    "Networks": networks_part,
    "Data sets": data_sets_part,
    "Scores": scores_part,
}


def main() -> None:
    page_header("Library", "Which networks and data sets are at hand, and how well does one do on the other?")
    part = st.segmented_control(
        "Part of the library", list(_PARTS), default="Networks", required=True, key="library_part",
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    _PARTS[part]()


main()
