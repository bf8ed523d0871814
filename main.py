"""The navigation: the script that the server of `app.py` runs for every visitor."""

import streamlit as st

from widgets.shared.running_work import show_running_work

st.set_page_config(page_title="WhyPixel", page_icon="widgets/static/icon.png", layout="wide")
page = st.navigation(
    [
        st.Page("pages/pixel_explorer.py", title="Pixel Explorer", icon=":material/my_location:", default=True),
        st.Page("pages/jacobian.py", title="Jacobian", icon=":material/grid_on:"),
        st.Page("pages/integrated_gradients.py", title="Integrated Gradients", icon=":material/stacked_line_chart:"),
        st.Page("pages/cams.py", title="Class activation maps", icon=":material/layers:"),
        st.Page("pages/trust.py", title="Trust", icon=":material/verified:"),
    ]
)
show_running_work()
page.run()
