"""Plotly figures. Pictures are sent as PNG, maps as values so that hovering shows them."""

import base64

import numpy as np
import plotly.graph_objects as go

from .colours import SELECTION, ColourScale, intensity_rgb, png_bytes
from .footprint import BoundingBox, bounding_box

TRANSPARENT = "rgba(0,0,0,0)"
COLOUR_BAR_HEIGHT = 56
"""CSS pixels that `map_figure` needs below the map."""
MODE_BAR_HEIGHT = 26
"""CSS pixels above every picture for Plotly's buttons, which would otherwise take the clicks on its first rows."""

NEUTRAL = "#7d8794"
CHART_BUTTONS = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}
"""Configuration of charts with Plotly's buttons, without those that do nothing here."""
_MARGIN = 8
"""Around every picture, as streamlit-plotly-events leaves around its frame."""

FRAME_HEIGHT = MODE_BAR_HEIGHT + COLOUR_BAR_HEIGHT + 2 * _MARGIN
"""CSS pixels in height that a figure with a colour bar, or with as much space below, needs beside its picture."""


def picture_figure(picture: np.ndarray, revision: str, margin: int = _MARGIN, below: int = 0) -> go.Figure:
    """A picture (H, W, 3) uint8 that fills its frame, rows downwards, one unit per pixel.

    Args:
        picture: What is shown.
        revision: The zoom is kept as long as this stays the same.
        margin: Margin around the picture, in CSS pixels.
        below: Height of the empty space below it, in CSS pixels.
    """
    image = go.Image(source=_png_address(picture), hovertemplate="row %{y}, column %{x}<extra></extra>")
    return _framed(go.Figure(image), picture.shape[:2], revision, margin, below)


def map_figure(
    values: np.ndarray,
    unit: str,
    scale: ColourScale,
    revision: str,
    image: np.ndarray | None = None,
    opacity: float = 1.0,
) -> go.Figure:
    """A map (H, W) with a colour bar in `unit`; hovering shows the value, NaN is left empty.

    Args:
        values: The map. A signed one without an image is sent as the box around the values that are not 0: the rest
            is the colour of 0.
        unit: Unit of the values.
        scale: Colours and limits.
        revision: As for `picture_figure`.
        image: (C, H, W), drawn in grey below the map.
        opacity: Opacity of the map, in [0, 1].
    """
    height, width = values.shape
    only_box = scale.is_signed and image is None
    box = BoundingBox(0, 0, height - 1, width - 1)
    if only_box:
        box = bounding_box(np.abs(values) > 0) or BoundingBox(0, 0, 0, 0)
    large, small = scale.high >= 1e3, scale.high < 1e-2
    ticks = ".1e" if only_box and (large or small) else ",.0f" if large else ".3~g"
    heat = go.Heatmap(
        z=values[box.top : box.bottom + 1, box.left : box.right + 1],
        x0=box.left,
        y0=box.top,
        zmin=scale.low,
        zmax=scale.high,
        colorscale=scale.colours,
        opacity=opacity,
        hovertemplate="row %{y}, column %{x}<br>%{z:.4g}<extra></extra>",
        colorbar={
            "orientation": "h",
            "y": 0,
            "yanchor": "top",
            "thickness": 10,
            "len": 0.9,
            "outlinewidth": 0,
            "nticks": 5,
            "tickfont": {"color": NEUTRAL},
            "tickformat": ticks,
            "title": {"text": unit, "side": "bottom", "font": {"size": 12, "color": NEUTRAL}},
        },
    )
    figure = _framed(go.Figure(heat), values.shape, revision, _MARGIN, COLOUR_BAR_HEIGHT)
    if only_box:
        figure.add_shape(type="rect", x0=-0.5, x1=width - 0.5, y0=-0.5, y1=height - 0.5, layer="below",
                         fillcolor="#f7f7f7", line={"width": 0})  # fmt: skip
    elif image is not None:
        figure.add_layout_image(
            source=_png_address(intensity_rgb(image.mean(axis=0, keepdims=True))), x=-0.5, y=-0.5, sizex=width,
            sizey=height, xref="x", yref="y", layer="below", sizing="stretch", xanchor="left", yanchor="top",
        )  # fmt: skip
    return figure


def add_crosshair(figure: go.Figure, row: int, column: int, shape: tuple[int, ...]) -> go.Figure:
    """Mark a pixel of a picture of `shape` by lines through it and a frame around it."""
    line = {"color": SELECTION, "width": 1}
    gap = max(shape[0], shape[1]) / 40
    marks = []
    for x0, x1, y0, y1 in (
        (-0.5, column - gap, row, row),
        (column + gap, shape[1] - 0.5, row, row),
        (column, column, -0.5, row - gap),
        (column, column, row + gap, shape[0] - 0.5),
    ):
        if x0 <= x1 and y0 <= y1:
            marks.append({"type": "line", "x0": x0, "x1": x1, "y0": y0, "y1": y1, "line": line, "opacity": 0.75})
    around = {"x0": column - 0.5, "x1": column + 0.5, "y0": row - 0.5, "y1": row + 0.5}
    marks.append({"type": "rect", **around, "line": {**line, "width": 2}})
    figure.layout.shapes = (*figure.layout.shapes, *marks)
    return figure


def add_box(figure: go.Figure, box: BoundingBox | None) -> go.Figure:
    """Draw a bounding box, its pixels inside the line."""
    if box is not None:
        edges = {"x0": box.left - 0.5, "x1": box.right + 0.5, "y0": box.top - 0.5, "y1": box.bottom + 0.5}
        figure.add_shape(type="rect", **edges, line={"color": SELECTION, "width": 1.5, "dash": "dot"})
    return figure


def add_circle(figure: go.Figure, row: int, column: int, radius: float, label: str) -> go.Figure:
    """Draw a circle around a pixel, with a label at its top."""
    edges = {"x0": column - radius, "x1": column + radius, "y0": row - radius, "y1": row + radius}
    figure.add_shape(type="circle", **edges, line={"color": "#ffd23f", "width": 1.5})
    return figure.add_annotation(
        x=column, y=row - radius, text=label, showarrow=False, yshift=8, font={"size": 11, "color": "#ffd23f"},
        bgcolor="rgba(20,23,28,0.65)",
    )  # fmt: skip


def zoom_to(figure: go.Figure, box: BoundingBox | None, margin: int = 4) -> go.Figure:
    """Show only a bounding box and `margin` pixels around it."""
    if box is not None:
        figure.update_xaxes(range=[box.left - margin - 0.5, box.right + margin + 0.5])
        figure.update_yaxes(range=[box.bottom + margin + 0.5, box.top - margin - 0.5])
    return figure


def _png_address(picture: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode()


def _framed(figure: go.Figure, shape: tuple[int, ...], revision: str, margin: int, below: int) -> go.Figure:
    axis = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_layout(
        template={},  # a named one is copied into every figure, which costs more than all the rest of it
        margin={"l": margin, "r": margin, "t": margin + MODE_BAR_HEIGHT, "b": margin + below, "autoexpand": False},
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
        uirevision=revision,
        hovermode="closest",
        dragmode="zoom",
        showlegend=False,
        xaxis={**axis, "range": [-0.5, shape[1] - 0.5]},
        yaxis={**axis, "range": [shape[0] - 0.5, -0.5], "scaleanchor": "x", "constraintoward": "top"},
    )
    return figure
