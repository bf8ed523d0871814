"""The head of every page."""

from pathlib import Path

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from widgets.shared.links import WRITTEN_ONLY, update_old_link

_STYLE = """
<style>
.stMainBlockContainer {padding: 1.4rem 2.5rem 3rem}
.stApp:has([data-testid="stExpandSidebarButton"]) .stMainBlockContainer {padding-top: 3.9rem}
.stMainBlockContainer h1 {font-size: 1.6rem; padding: 0}
.stMainBlockContainer :is([data-testid="stElementContainer"], .stElementContainer):has(> .stHtml script) {display: none}
[data-testid="stSidebarHeader"] > :has(img)::after, [data-testid="stHeader"] :has(> img)::after {content: "WhyPixel";
  margin-left: .6rem; font-weight: 700; font-size: 1.2rem; letter-spacing: -.01em}
[data-testid="stCaptionContainer"] {color: inherit; opacity: .8}
button[data-variant][aria-checked="true"] {color: inherit !important}
[data-tag] {color: inherit !important; background-color: rgba(125, 135, 148, .25) !important}
[data-tag] * {color: inherit !important}
[data-testid="stBaseButton-primary"]:enabled {color: light-dark(#fff, #14171c)}
[data-testid="stMetric"] {padding: 0 !important}
[data-testid="stMetric"] > div {padding: .4rem .8rem !important}
[data-testid="stMetricValue"] {font-size: 1.15rem}
[data-testid="stSidebarUserContent"] {padding-top: 0}
[data-testid="stSidebarHeader"] {margin-bottom: 0; height: 46px}
[data-testid="stSidebarNavSeparator"] {padding-top: .2rem}
.stSidebar [data-testid="stSidebarNav"] li, .stSidebar [data-testid="stSidebarNavLink"] {margin: 0}
.stSidebar [data-testid="stSidebarNavLink"] {height: 24px; min-height: 0; padding-top: 0; padding-bottom: 0}
.stSidebar [data-testid="stSidebarNavItems"] > div + div {margin-top: 4px}
.stSidebar [data-testid="stNavSectionHeader"] {margin: 0; font-size: .8rem; height: 17px}
.st-key-files {border-top: 1px solid rgba(125, 135, 148, .35); padding-top: .5rem}
@media (min-width: 768px) and (max-width: 1000px) {
  .stSidebar[data-collapsed="false"][style*="width: 300px"] {width: 232px !important}
  .stSidebar [data-testid="stSidebarContent"] {padding: 0 6px}
  .stMainBlockContainer {padding-left: 1.5rem; padding-right: 1.5rem}
}
</style>
"""
_HISTORY = (Path(__file__).parent / "history.js").read_text(encoding="utf-8")
_RECOVERY = (Path(__file__).parent / "recovery.js").read_text(encoding="utf-8")
HISTORY_SCRIPT = f"window.namesWrittenOnly = {list(WRITTEN_ONLY)};{_HISTORY}"


def page_header(title: str, question: str) -> None:
    """The title, the question that the page answers, and the narrow margins that a page of pictures needs.

    First on each page, as it also brings former links up to date.
    """
    # Until `st.navigation` has run once, Streamlit takes the folder `pages` for its older kind of app, and runs a page
    # that is opened by its own address without app.py: narrow, and with file names for a menu.
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
    update_old_link()
    st.html(_STYLE)
    st.html(f"<script>{HISTORY_SCRIPT};{_RECOVERY}</script>", unsafe_allow_javascript=True)
    st.title(title, anchor=False)
    st.caption(question)
