"""Sends the pixel, or pixel set, that a page explains to another page: the same network, image, class and score."""

import streamlit as st

from widgets.shared.looked_at import look_at_pixel_set

_PAGES = {
    "pixel_explorer": ("Pixel Explorer", "Its gradient map: which pixels would change this score?"),
    "jacobian": ("Jacobian", "Every pixel's gradient map at once."),
    "integrated_gradients": ("Integrated Gradients", "Which pixels make up the difference to a baseline?"),
    "cams": ("Class activation maps", "Which layers support this class, and where?"),
    "trust": ("Trust", "Do the maps of this score hold up to tests?"),
}
_SENT_TO = "_sent_to"
_OF_PIXELS = "pixel_explorer", "jacobian"
"""Pages that explain one pixel; the others explain a pixel set."""


def send_pixel(page: str, *, is_pixel: bool = True) -> None:
    """Buttons that open the other pages with what this one explains.

    Args:
        page: Name of this page's file.
        is_pixel: Whether this page explains one pixel, rather than a pixel set.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="send_pixel"):
        st.markdown(f"Send this {'pixel' if is_pixel else 'pixel set'} to", width="content")
        for other, (title, help_) in _PAGES.items():
            if other == page or (other in _OF_PIXELS and not is_pixel):
                continue
            st.button(title, key=f"send_to_{other}", type="tertiary", help=help_, on_click=_send, args=(other, is_pixel))
    if _SENT_TO in st.session_state:
        st.rerun()  # a fragment cannot change the page


def follow_sent_pixel() -> None:
    """In the navigation, before the page: open the one that a pixel was sent to."""
    if (page := st.session_state.pop(_SENT_TO, None)) is not None:
        st.switch_page(f"pages/{page}.py")


def _send(page: str, is_pixel: bool) -> None:  # noqa: FBT001 - Streamlit passes it so
    st.session_state[_SENT_TO] = page
    if is_pixel:
        look_at_pixel_set("point")
