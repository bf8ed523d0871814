"""Figures of what the images and masks of a data set hold."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from ..data.reports import ClassFrequency
from .colours import class_colour
from .words import class_in_words

_GREY = ("#4C78A8",)
_RGB = ("#d62728", "#2ca02c", "#1f77b4")
_MANY = ("#4C78A8", "#F58518", "#54A24B", "#B279A2", "#E45756", "#72B7B2", "#EECA3B", "#9D755D")


def class_figure(frequencies: Sequence[ClassFrequency], num_images: int) -> go.Figure:
    """Two bars per class: its share of all pixels, and the share of the images that have it."""
    names = [class_in_words(each.name) for each in frequencies]
    colours = [f"rgb{class_colour(index)}" for index in range(len(frequencies))]
    figure = make_subplots(1, 2, shared_yaxes=True, subplot_titles=("Share of pixels, %", "Images with the class"))
    figure.add_bar(
        x=[100 * each.share for each in frequencies], y=names, orientation="h", marker_color=colours,
        text=[f"{100 * each.share:.3g} %" for each in frequencies], hoverinfo="skip", row=1, col=1,
    )  # fmt: skip
    figure.add_bar(
        x=[each.images for each in frequencies], y=names, orientation="h", marker_color=colours,
        text=[f"{each.images:,} of {num_images:,}" for each in frequencies], hoverinfo="skip", row=1, col=2,
    )  # fmt: skip
    figure.update_traces(textposition="auto", marker_line={"color": "#888", "width": 1})
    figure.update_xaxes(range=[0, 100], col=1)
    figure.update_xaxes(range=[0, max(1, num_images)], col=2)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure.update_layout(showlegend=False, height=110 + 30 * len(names))


def histogram_figure(histogram: NDArray[np.int64]) -> go.Figure:
    """Share of the pixels of all images per bin of intensity, one line per channel.

    Args:
        histogram: Pixels per channel and bin over [0, 1], (C, bins).
    """
    channels, bins = histogram.shape
    colours = _GREY if channels == 1 else _RGB if channels == 3 else _MANY
    names = ("Red", "Green", "Blue") if channels == 3 else [f"Channel {number + 1}" for number in range(channels)]
    centres = (np.arange(bins) + 0.5) / bins
    figure = go.Figure()
    for number, counts in enumerate(histogram):
        figure.add_scatter(
            x=centres, y=100 * counts / max(1, counts.sum()), name=names[number], mode="lines",
            line={"color": colours[number % len(colours)], "width": 1.5, "shape": "hvh"},
            hovertemplate="intensity %{x:.3f}: %{y:.3g} % of the pixels<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="Intensity", range=[0, 1])
    figure.update_yaxes(title_text="Pixels per bin, %", rangemode="tozero")
    return figure.update_layout(showlegend=channels > 1, height=300)
