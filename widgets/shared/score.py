"""Pickers for the score that is explained: of which class, in which space."""

import streamlit as st

from core.segmenter import Segmenter
from core.target import SPACES, Space

SPACE_NAMES: dict[str, str] = {"probability": "Probability", "logit": "Logit", "log_odds": "Log-odds"}


def pick_class_and_space(segmenter: Segmenter, default_space: Space = "probability") -> tuple[int, Space]:
    """The class's index and the score space, both kept in the URL."""
    names = segmenter.class_names
    class_name = st.selectbox("Class", names, index=1, key="class", bind="query-params")
    space = st.selectbox(
        "Score",
        SPACES,
        index=SPACES.index(default_space),
        key="space",
        bind="query-params",
        format_func=lambda name: SPACE_NAMES[name],
        help="What is differentiated. Where the network is certain its probability hardly moves; the logit and the "
        "log-odds still do.",
    )
    return names.index(class_name), space
