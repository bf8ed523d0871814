"""WhyPixel: `streamlit run app.py`."""

import atexit
import os
import sys
import threading
from importlib import import_module

import streamlit as st
from starlette.middleware import Middleware

from widgets.shared.browser import BrowserCookie
from widgets.viewer.route import routes

# Before torch is imported: its threads else spin while they wait for each other, and where something else needs a core,
# as the browser on the same machine does, a gradient takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def leave() -> None:
    """End at once while something is computed: Python's own end would abort torch in the middle of it."""
    results = sys.modules.get("widgets.shared.results")
    if results is not None and results.is_computing():
        sys.stdout.flush()
        os._exit(0)


atexit.register(leave)
# The first page needs torch, whose import takes longer than the browser needs for Streamlit's own scripts.
threading.Thread(target=import_module, args=("torch",), daemon=True).start()
app = st.App("main.py", routes=routes(), middleware=[Middleware(BrowserCookie)])
