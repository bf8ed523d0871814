"""WhyPixel: `streamlit run app.py`."""

import os

import streamlit as st

# Before torch is imported: its threads else spin while they wait for each other, and where something else needs a core,
# as the browser on the same machine does, a gradient takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

st.set_page_config(page_title="WhyPixel", page_icon="widgets/static/icon.png", layout="wide")
st.navigation(
    [
        st.Page("pages/pixel_explorer.py", title="Pixel Explorer", icon=":material/my_location:", default=True),
        st.Page("pages/jacobian.py", title="Jacobian", icon=":material/grid_on:"),
        st.Page("pages/integrated_gradients.py", title="Integrated Gradients", icon=":material/stacked_line_chart:"),
        st.Page("pages/cams.py", title="Class activation maps", icon=":material/layers:"),
        st.Page("pages/trust.py", title="Trust", icon=":material/verified:"),
    ]
).run()
