"""WhyPixel: `streamlit run app.py`."""

import os

import streamlit as st

from widgets.viewer.route import routes

# Before torch is imported: its threads else spin while they wait for each other, and where something else needs a core,
# as the browser on the same machine does, a gradient takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

app = st.App("main.py", routes=routes())
