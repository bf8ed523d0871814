"""The region drawn in a viewer: kept in the browser tab and in the address, under the name of the tool."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from core.drawn_regions import DrawnPart, parts_of, parts_text
from core.pixel_sets import PixelSet

Mode = Literal["box", "lasso"]
_IMAGE = "_image_of_region"


def restore_region(image_key: str, mode: Mode) -> tuple[DrawnPart, ...]:
    """The region drawn last on this image; another image has none.

    Raises:
        UserError: The text in the address is no region.
    """
    previous = st.session_state.setdefault(_IMAGE, image_key)
    if previous != image_key:
        st.session_state[_IMAGE] = image_key
        for name in ("box", "lasso"):
            st.session_state[name] = ""
    if mode not in st.session_state:
        st.session_state[mode] = st.query_params.get(mode, "")
    return parts_of(st.session_state[mode])


def keep_region(mode: str, parts: Sequence[DrawnPart]) -> None:
    """Keep a region, before the page runs."""
    if mode in ("box", "lasso"):
        st.session_state[mode] = parts_text(parts)


def pixel_set_of(parts: Sequence[DrawnPart], mode: Mode) -> PixelSet:
    """The pixels inside a region, as a choice that applies to any image."""
    if mode == "lasso" and [part.kind for part in parts] == ["lasso"] and not parts[0].takes_away:
        return PixelSet("lasso", lasso=parts[0].points)
    return PixelSet(mode, parts=parts)
