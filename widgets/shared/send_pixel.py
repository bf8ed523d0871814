"""Sends the pixel, or pixel set, that a page explains to another page: the same network, image, class and score."""

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

_PAGES = {
    "pixel_explorer": ("Pixel Explorer", "Its gradient map: which pixels would change this score?"),
    "jacobian": ("Jacobian", "Every pixel's gradient map at once."),
    "integrated_gradients": ("Integrated Gradients", "Which pixels make up the difference to a baseline?"),
    "cams": ("Class activation maps", "Which layers support this class, and where?"),
    "trust": ("Trust", "Do the maps of this score hold up to tests?"),
    "what_if": ("What if", "Paint over it: does the label stay?"),
}
_ICON = ":material/arrow_forward:"
_ONE_PIXEL = {
    "integrated_gradients": {"explain": "Pixel"}, "cams": {"pixel_set": "One pixel"},
    "trust": {"pixel_set": "One pixel"},
}  # fmt: skip
"""What their addresses say where one pixel is sent."""
_OF_PIXELS = "pixel_explorer", "jacobian"
"""Pages that explain one pixel; the others explain a pixel set."""


def send_pixel(page: str, *, is_pixel: bool = True) -> None:
    """Links that open the other pages with what this one explains, which goes along by itself.

    Args:
        page: Name of this page's file.
        is_pixel: Whether this page explains one pixel, rather than a pixel set.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="send_pixel"):
        st.markdown(f"Send this {'pixel' if is_pixel else 'pixel set'} to", width="content")
        for other, (title, help_) in _PAGES.items():
            if other == page or (other in _OF_PIXELS and not is_pixel):
                continue
            try:
                st.page_link(
                    f"pages/{other}.py", label=title, icon=_ICON, help=help_, width="content",
                    query_params=_ONE_PIXEL.get(other) if is_pixel else None,
                )  # fmt: skip
            except StreamlitPageNotFoundError:  # a page that runs by itself has no others
                return
