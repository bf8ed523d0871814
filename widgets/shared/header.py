"""The head of every page."""

import streamlit as st

_STYLE = """
<style>
.stMainBlockContainer {padding: 2.2rem 2.5rem 3rem}
.stMainBlockContainer h1 {font-size: 1.9rem; padding: 0 0 .2rem}
[data-testid="stMetric"] {padding: 0 !important}
[data-testid="stMetric"] > div {padding: .4rem .8rem !important}
[data-testid="stMetricValue"] {font-size: 1.15rem}
[data-testid="stSidebarUserContent"] {padding-top: 0}
</style>
"""


def page_header(title: str, question: str) -> None:
    """The title, what the page is for in one line, and the tighter spacing that a page of pictures needs."""
    st.html(_STYLE)
    st.title(title, anchor=False)
    st.caption(question)
