"""Plotly charts of numbers, beside the pictures and maps of `core.display.figures`."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .colours import CLASS_COLOURS, DIVERGING
from .figures import NEUTRAL, TRANSPARENT

_LINE = "#d6246e"
_AXIS = {"zeroline": False, "gridcolor": "rgba(125,135,148,0.25)", "color": NEUTRAL, "automargin": True}
_BOLD = (_LINE, "#2f7fd1", "#1a9c74")
"""Of curves that stand out."""
_CONTROL = "#b57614"
_FAINT = "rgba(125,135,148,0.55)"
_DASHES = ("dash", "dot", "dashdot", "longdash")
_LAYOUT = {
    "template": {},  # a named one is copied into every figure, which costs more than all the rest of it
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "paper_bgcolor": TRANSPARENT,
    "plot_bgcolor": TRANSPARENT,
}


def curve_figure(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], titles: tuple[str, str], *, logarithmic: bool = False
) -> go.Figure:
    """Curves (x, y) by name over common axes; with `logarithmic` both are, labelled at each x and at powers of 10."""
    figure = go.Figure(layout=_LAYOUT)
    for index, (name, (x, y)) in enumerate(curves.items()):
        colour = CLASS_COLOURS[1 + index % (len(CLASS_COLOURS) - 1)]
        figure.add_scatter(x=list(x), y=list(y), name=name, mode="lines+markers", line={"color": colour, "width": 2})
    figure.update_layout(showlegend=len(curves) > 1, legend_font_color=NEUTRAL)
    if logarithmic:
        ticks = sorted({*itertools.chain.from_iterable(x for x, _ in curves.values())})
        figure.update_layout(
            xaxis={"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]},
            yaxis={"type": "log", "dtick": 1, "tickformat": ",~r"},
        )
    return _with_axes(figure, titles)


def _with_axes(figure: go.Figure, titles: tuple[str, str]) -> go.Figure:
    figure.update_xaxes(_AXIS, title_text=titles[0])
    return figure.update_yaxes(_AXIS, title_text=titles[1])


def correlation_figure(table: np.ndarray, names: Sequence[str]) -> go.Figure:
    """A table of correlations or shares (n, n) between -1 and 1, with its numbers written in."""
    heat = go.Heatmap(
        z=table,
        x=list(names),
        y=list(names),
        zmin=-1,
        zmax=1,
        colorscale=DIVERGING,
        showscale=False,
        xgap=2,
        ygap=2,
        texttemplate="%{z:.2f}",
        hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>",
    )
    axis = {**_AXIS, "showgrid": False, "ticks": ""}
    return go.Figure(heat, {**_LAYOUT, "xaxis": axis, "yaxis": {**axis, "autorange": "reversed"}})


def scatter_figure(
    points: tuple[np.ndarray, np.ndarray],
    line: tuple[np.ndarray, np.ndarray],
    titles: tuple[str, str],
    names: Sequence[str],
) -> go.Figure:
    """Points (x, y) and their names with a line (x, y) through them and the titles of the two axes; arrays as lists."""
    dots = go.Scatter(
        x=points[0].tolist(), y=points[1].tolist(), mode="markers", text=list(names), hoverlabel={"namelength": 0},
        hovertemplate="%{text}<br>%{x:.3~g}: %{y:.4~g}<extra></extra>",
        marker={"size": 6, "color": CLASS_COLOURS[1], "opacity": 0.4},
    )  # fmt: skip
    through = go.Scatter(
        x=line[0].tolist(), y=line[1].tolist(), mode="lines+markers", line={"color": _LINE, "width": 2},
        marker={"size": 5}, hovertemplate="%{x:.3~g}: %{y:.4~g}<extra>median</extra>",
    )  # fmt: skip
    figure = go.Figure([dots, through], _LAYOUT)
    figure.update_layout(showlegend=False, yaxis_rangemode="tozero", hovermode="closest", uirevision="kept")
    return _with_axes(figure, titles)


def tested_curves_figure(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    controls: Collection[str],
    titles: Mapping[str, tuple[str, str]],
    highlighted: Sequence[str],
) -> go.Figure:
    """Curves (x, y) by panel and name, two panels per row; the legend hides a name everywhere.

    Names come in the same order in each panel. The `highlighted` ones are bold, on top and of a colour each, the
    `controls` dashed; the others are thin and grey, without an entry in the legend. `titles` holds those of both axes.
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=list(panels), horizontal_spacing=0.13, vertical_spacing=0.3 / rows
    )
    figure.update_layout(_LAYOUT, template={}, margin={"l": 8, "r": 8, "t": 30, "b": 8}, hovermode="closest")
    named: set[str] = set()
    for place, (panel, curves) in enumerate(panels.items()):
        where = {"row": 1 + place // columns, "col": 1 + place % columns}
        others = [name for name in curves if name not in controls and name not in highlighted]
        ours = [name for name in reversed(highlighted) if name in curves]
        for name in [*others, *(name for name in curves if name in controls and name not in ours), *ours]:
            x, y = curves[name]
            line: dict[str, Any] = {"color": _FAINT, "width": 1}
            if name in controls:
                dash = _DASHES[[other for other in curves if other in controls].index(name) % len(_DASHES)]
                line = {"color": _CONTROL, "width": 1.8, "dash": dash}
            if name in ours:
                line |= {"width": 3} | ({} if name in controls else {"color": _BOLD[highlighted.index(name)]})
            figure.add_scatter(
                x=list(x), y=list(y), name=name, mode="lines", legendgroup=name, line=line, **where,
                showlegend=name not in named and name not in others,
                legendrank=highlighted.index(name) if name in ours else len(highlighted),
                hovertemplate="%{x:.0%} of the pixels: %{y:.4~g}<extra>" + name + "</extra>",
            )  # fmt: skip
            named.add(name)
        figure.update_xaxes({**_AXIS, "title": {"text": titles[panel][0], "standoff": 6}, "tickformat": ".0%"}, **where)
        figure.update_yaxes({**_AXIS, "title": {"text": titles[panel][1], "standoff": 4}}, **where)
    figure.update_annotations(font={"size": 14, "color": NEUTRAL})
    legend = {"font": {"color": NEUTRAL, "size": 12}, "tracegroupgap": 0, "orientation": "h", "yref": "container",
              "y": 0, "yanchor": "bottom", "x": 0}  # fmt: skip
    return figure.update_layout(legend=legend, modebar={"bgcolor": TRANSPARENT, "color": NEUTRAL})


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, for `interval_figure`.

    Attributes:
        title: Name of what was estimated.
        mean: The number; NaN is left out.
        low: Lower end of the interval; NaN for none.
        high: Upper end of the interval; NaN for none.
        is_control: Whether it is shown in grey.
        is_filled: Whether it is shown as a full point rather than a ring.
        note: Text shown on hovering.
    """

    title: str
    mean: float
    low: float
    high: float
    is_control: bool = False
    is_filled: bool = True
    note: str = ""


def interval_figure(panels: Mapping[str, Sequence[Estimate]], heading: str = "", columns: int = 2) -> go.Figure:
    """Panels by title, each with one line per estimate, the first on top: a point and its interval; `heading` above."""
    shown = {title: [each for each in estimates if np.isfinite(each.mean)] for title, estimates in panels.items()}
    lines = max(map(len, shown.values()), default=0)
    rows = max(1, -(-len(shown) // columns))
    height = 100 + rows * (60 + 24 * lines)
    figure = make_subplots(rows, columns, subplot_titles=list(shown), horizontal_spacing=0.24,
                           vertical_spacing=min(60 / height, 1 / rows))  # fmt: skip
    for index, estimates in enumerate(shown.values()):
        colours = [NEUTRAL if each.is_control else CLASS_COLOURS[1] for each in estimates]
        place = {"row": 1 + index // columns, "col": 1 + index % columns}
        for each, colour in zip(estimates, colours, strict=True):
            figure.add_scatter(
                x=[each.mean],
                y=[each.title],
                mode="markers",
                marker={"size": 9, "color": colour, "symbol": "circle" if each.is_filled else "circle-open"},
                error_x={"type": "data", "symmetric": False, "array": [each.high - each.mean],
                         "arrayminus": [each.mean - each.low], "color": colour, "thickness": 1.5, "width": 3},
                hovertemplate=f"%{{y}}: %{{x:.4g}} [{each.low:.4g}, {each.high:.4g}]<br>{each.note}<extra></extra>",
                **place,
            )  # fmt: skip
        figure.update_xaxes(**_AXIS, **place)
        figure.update_yaxes(**{**_AXIS, "autorange": "reversed", "type": "category", "showgrid": False}, **place)
    figure.update_annotations(font={"size": 13, "color": NEUTRAL})
    return figure.update_layout(
        {**_LAYOUT, "margin": {"l": 8, "r": 8, "t": 80, "b": 8}},
        title={"text": heading, "font": {"size": 14, "color": NEUTRAL}, "x": 0.01, "yref": "container", "y": 0.99,
               "yanchor": "top"},
        height=height,
        showlegend=False,
    )  # fmt: skip
