"""Plotly charts of numbers, beside the pictures and maps of `core.figures`."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from core.colours import CLASS_COLOURS, DIVERGING
from core.figures import TRANSPARENT

_NEUTRAL = "#7d8794"
_AXIS = {"zeroline": False, "gridcolor": "rgba(125,135,148,0.25)", "color": _NEUTRAL, "automargin": True}
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
        legend={"font": {"color": _NEUTRAL}},
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
