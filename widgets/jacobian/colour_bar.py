"""A colour bar below a picture that was coloured in NumPy."""

import streamlit as st
from plotly.colors import sample_colorscale

from core.display.colours import SEQUENTIAL


def colour_bar(limit: str, middle: str, unit: str) -> None:
    """From 0 to `limit`, as high as `core.display.figures.COLOUR_BAR_HEIGHT`.

    Args:
        limit: At the right end, in words.
        middle: Half-way.
        unit: Below the bar.
    """
    stops = ", ".join(sample_colorscale(SEQUENTIAL, [step / 8 for step in range(9)]))
    st.html(
        f'<div class="colour-bar" style="width: 90%; margin: 0 auto; color: #7d8794; '
        f'font-size: 12px; line-height: 16px">'
        f'<div style="height: 10px; background: linear-gradient(to right, {stops})"></div>'
        f'<div style="display: flex; justify-content: space-between">'
        f"<span>0</span><span>{middle}</span><span>{limit}</span></div>"
        f'<div style="text-align: center">{unit}</div></div>'
    )
