"""The navigation: the script that the server of `app.py` runs for every visitor."""

import streamlit as st

from widgets.shared.looked_at import keep_link, keep_looked_at, restore_looked_at
from widgets.shared.running_work import show_running_work

st.set_page_config(page_title="WhyPixel", page_icon="widgets/static/icon.png", layout="wide")
page = st.navigation(
    {
        "Explain": [
            st.Page("pages/pixel_explorer.py", title="Pixel Explorer", icon=":material/my_location:", default=True),
            st.Page("pages/jacobian.py", title="Jacobian", icon=":material/grid_on:"),
            st.Page(
                "pages/integrated_gradients.py", title="Integrated Gradients", icon=":material/stacked_line_chart:"
            ),
            st.Page("pages/cams.py", title="Class activation maps", icon=":material/layers:"),
        ],
        "Test": [
            st.Page("pages/trust.py", title="Trust", icon=":material/verified:"),
            st.Page("pages/what_if.py", title="What if", icon=":material/brush:"),
        ],
        "Prepare": [
            st.Page("pages/library.py", title="Library", icon=":material/folder_open:"),
            st.Page("pages/training.py", title="Training", icon=":material/model_training:"),
        ],
    }
)
st.logo("widgets/static/mark.svg", size="large")
restore_looked_at(page.url_path)
show_running_work()
keep_link()
try:
    page.run()
finally:
    keep_looked_at()
