"""The name of the image chosen, kept in the URL, which only Python changes."""

import streamlit as st

_CHOSEN = "_image_chosen"


def choose_image(name: str) -> None:
    """Before the picker, or in a callback: show another image."""
    st.session_state["image"] = st.session_state[_CHOSEN] = name


def chosen_image() -> str:
    """The choice, drawn as a text field that no user sees; a link, Back and Forward set it too."""
    choice = st.text_input("Image", key="image", bind="query-params", on_change=_keep)
    st.session_state[_CHOSEN] = choice
    return choice


def _keep() -> None:
    """What the browser sends with whatever else it asks for may be from before the choice."""
    st.session_state["image"] = st.session_state[_CHOSEN]
