"""The map that a page showed last, which stays there, dimmed, until the one of new settings has come."""

from typing import TypeVar

import streamlit as st

Map = TypeVar("Map")

OLD_OPACITY = 0.3
OLD_NOTE = "of the settings before"
"""Opacity and remark of a map that is not of the settings on screen."""


def keep_last(page: str, picture_key: str, found: Map | None) -> Map | None:
    """This map of a page, or while there is none its last one of the same network and image."""
    key = f"_last_{page}"
    if found is not None:
        st.session_state[key] = picture_key, found
    known_key, known = st.session_state.get(key, ("", None))
    return known if known_key == picture_key else None
