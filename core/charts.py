"""Plotly charts of numbers, beside the pictures and maps of `core.figures`."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.colours import CLASS_COLOURS, DIVERGING, SELECTION
from core.figures import NEUTRAL, TRANSPARENT

_AXIS = {"zeroline": False, "gridcolor": "rgba(125,135,148,0.25)", "color": NEUTRAL, "automargin": True}
_LAYOUT = {
    "template": {},  # a named one is copied into every figure, which costs more than all the rest of it
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "paper_bgcolor": TRANSPARENT,
    "plot_bgcolor": TRANSPARENT,
}


def curve_figure(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], titles: tuple[str, str], *, logarithmic: bool = False
) -> go.Figure:
    """Curves (x, y) by name over common axes; with `logarithmic`, both axes are."""
    figure = go.Figure(layout=_LAYOUT)
    for index, (name, (x, y)) in enumerate(curves.items()):
        colour = CLASS_COLOURS[1 + index % (len(CLASS_COLOURS) - 1)]
        figure.add_scatter(x=list(x), y=list(y), name=name, mode="lines+markers", line={"color": colour, "width": 2})
    kind = {"type": "log", "dtick": 1} if logarithmic else {}
    return figure.update_layout(
        showlegend=len(curves) > 1,
        legend={"font": {"color": NEUTRAL}},
        xaxis={**_AXIS, "title": {"text": titles[0]}} | ({"type": "log"} if logarithmic else {}),
        yaxis={**_AXIS, "title": {"text": titles[1]}} | kind,
    )


def correlation_figure(table: np.ndarray, names: Sequence[str]) -> go.Figure:
    """A table of correlations (n, n) between -1 and 1, with its numbers written in."""
    heat = go.Heatmap(
        z=table,
        x=list(names),
        y=list(names),
        zmin=-1,
        zmax=1,
        colorscale=DIVERGING,
        showscale=False,
        texttemplate="%{z:.2f}",
        hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>",
        xgap=2,
        ygap=2,
    )
    axis = {**_AXIS, "showgrid": False, "ticks": ""}
    return go.Figure(heat, {**_LAYOUT, "xaxis": axis, "yaxis": {**axis, "autorange": "reversed"}})


def scatter_figure(
    points: tuple[np.ndarray, np.ndarray], line: tuple[np.ndarray, np.ndarray], titles: tuple[str, str]
) -> go.Figure:
    """Points (x, y) with a line (x, y) through them and the titles of the two axes."""
    dots = go.Scatter(x=points[0], y=points[1], mode="markers", hoverinfo="skip",
                      marker={"size": 4, "color": CLASS_COLOURS[1], "opacity": 0.3})  # fmt: skip
    through = go.Scatter(x=line[0], y=line[1], mode="lines+markers", line={"color": SELECTION, "width": 2},
                         marker={"size": 5}, hovertemplate="%{x:.3~g}: %{y:.4~g}<extra>median</extra>")  # fmt: skip
    return go.Figure([dots, through], _LAYOUT).update_layout(
        showlegend=False,
        xaxis={**_AXIS, "title": {"text": titles[0]}},
        yaxis={**_AXIS, "title": {"text": titles[1]}, "rangemode": "tozero"},
    )
