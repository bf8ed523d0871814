"""What the Plotly figures of all pages share."""

import streamlit as st

NO_BAR = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}
"""Plotly's buttons without those that do nothing here."""


def space_above_picture() -> None:
    """Space above a picture, so that it stands level with the maps beside it, which have buttons above."""
    st.html('<div style="height: 18px"></div>')
