"""WhyPixel: `streamlit run app.py`."""

import streamlit as st

from widgets.viewer.channel import routes

app = st.App("main.py", routes=routes())
