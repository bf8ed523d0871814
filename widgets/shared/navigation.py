"""Every page is reached through app.py."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager


def ensure_entered_through_app() -> None:
    """Start again through app.py where a page's own address is the first thing that a new server is asked for.

    Until `st.navigation` has run once, Streamlit takes the folder `pages` for its older kind of app, and runs the page
    without app.py: narrow, and with file names for a menu.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
