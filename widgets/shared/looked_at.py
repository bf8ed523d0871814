"""What was looked at last goes along to the next page: network, image, class, score, pixel or pixel set.

Streamlit keeps the values of widgets that are bound to the URL, and whatever else is in the session state. Here is what
it drops: the values of widgets that are not bound.
"""

import streamlit as st
from streamlit.errors import StreamlitAPIException

from core.pixel_sets import PIXEL_SETS, PixelSetName

_PAGE, _KEPT = "_page_looked_at", "_looked_at"
_NOT_BOUND = ("class", "layer", "method")
_PIXEL_SET_KEYS: dict[str, tuple[PixelSetName, ...]] = {
    "pixel_set": tuple(name for name in PIXEL_SETS if name != "prediction"),
    "explain": ("prediction", "class", "point", "box", "lasso"),
}
"""Keys of the pickers for the pixel set, with the sets that each offers."""


def restore_looked_at(page: str) -> None:
    """Before a page's widgets: give them the values that those of another page had; the URL's own come first."""
    previous, st.session_state[_PAGE] = st.session_state.get(_PAGE), page
    if page == previous:
        return
    for key, value in st.session_state.get(_KEPT, {}).items():
        if key not in st.session_state and key not in st.query_params:
            st.session_state[key] = value


def keep_looked_at() -> None:
    """After a page's widgets: keep the values that Streamlit would drop."""
    kept = st.session_state.setdefault(_KEPT, {})
    kept.update({key: st.session_state[key] for key in _NOT_BOUND if key in st.session_state})


def look_at_pixel_set(name: PixelSetName) -> None:
    """Let the other pages begin with this pixel set, where they offer it."""
    for key, offered in _PIXEL_SET_KEYS.items():
        if name in offered and st.session_state.get(key) != name:
            try:
                st.session_state[key] = name
            except StreamlitAPIException:  # this page's own picker has it already
                continue
