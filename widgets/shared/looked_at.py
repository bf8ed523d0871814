"""What was looked at last goes along to the next page: network, image, class, score, pixel or pixel set.

Streamlit keeps the values of widgets that are bound to the URL, and whatever else is in the session state. Here is what
it drops: the values of widgets that are not bound, and what a link has set until a later run has begun.
"""

import streamlit as st
from streamlit.errors import StreamlitAPIException

from core.pixel_sets import PIXEL_SETS, PixelSetName

_PAGE, _KEPT, _IS_LINK_KEPT = "_page_looked_at", "_looked_at", "_is_link_kept"
_NOT_BOUND = ("class", "label", "layer", "method")
_PIXEL_SET_KEYS: dict[str, tuple[PixelSetName, ...]] = {
    "pixel_set": tuple(name for name in PIXEL_SETS if name != "prediction"),
    "explain": ("prediction", "class", "point", "box", "lasso"),
}
"""Keys of the pickers for the pixel set, with the sets that each offers."""

_arrived = st.components.v2.component(
    "arrived", js="export default ({data, setTriggerValue}) => { if (data.isNew) setTriggerValue('ran', true) }"
)


def restore_looked_at(page: str) -> None:
    """Before a page's widgets: give them the values that those of another page had; the URL's own come first."""
    previous, st.session_state[_PAGE] = st.session_state.get(_PAGE), page
    if page == previous:
        return
    for key, value in st.session_state.get(_KEPT, {}).items():
        if key not in st.session_state and key not in st.query_params:
            st.session_state[key] = value


def keep_link() -> None:
    """On every page: see to a small run after the first one, so that the next page knows what the link has set."""

    def kept() -> None:
        st.session_state[_IS_LINK_KEPT] = True

    @st.fragment
    def run_once_more() -> None:
        _arrived(key="arrived", data={"isNew": not st.session_state.get(_IS_LINK_KEPT)}, on_ran_change=kept)

    with st.container(key="followed-link"):  # the bar of the work takes such containers out of the page's flow
        run_once_more()


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
