"""A picture as a Plotly figure, and what all figures share."""

import base64

import numpy as np
import plotly.graph_objects as go

from .colours import png_bytes

TRANSPARENT = "rgba(0,0,0,0)"
NEUTRAL = "#7d8794"
MODE_BAR_HEIGHT = 26
"""CSS pixels above a picture for Plotly's buttons, which would otherwise take the clicks on its first rows."""


def picture_figure(picture: np.ndarray, revision: str) -> go.Figure:
    """A picture (H, W, 3) uint8 that fills its frame, rows downwards, one unit per pixel.

    The zoom is kept as long as `revision` stays the same.
    """
    source = "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode()
    figure = go.Figure(go.Image(source=source, hovertemplate="row %{y}, column %{x}<extra></extra>"))
    axis = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}
    return figure.update_layout(
        template={},  # a named one is copied into every figure, which costs more than all the rest of it
        margin={"l": 0, "r": 0, "t": MODE_BAR_HEIGHT, "b": 0, "autoexpand": False},
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
        uirevision=revision,
        hovermode="closest",
        dragmode="zoom",
        showlegend=False,
        xaxis={**axis, "range": [-0.5, picture.shape[1] - 0.5]},
        yaxis={**axis, "range": [picture.shape[0] - 0.5, -0.5], "scaleanchor": "x", "constraintoward": "top"},
    )


def mark_pixel(figure: go.Figure, row: int, column: int) -> go.Figure:
    """A picture with a frame around a pixel."""
    for colour, width in (("#000000", 4), ("#ffffff", 2)):
        figure.add_shape(
            type="rect", x0=column - 0.5, x1=column + 0.5, y0=row - 0.5, y1=row + 0.5,
            line={"color": colour, "width": width},
        )  # fmt: skip
    return figure
