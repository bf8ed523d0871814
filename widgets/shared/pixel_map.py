"""One pixel's map on the pages that explain pixels: its sentence, its pictures and its numbers."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution import Attribution
from core.display.colours import colour_limit, intensity_rgb, signed_over, signed_scale
from core.display.figures import (
    CHART_BUTTONS,
    COLOUR_BAR_HEIGHT,
    FRAME_HEIGHT,
    add_box,
    add_crosshair,
    map_figure,
    picture_figure,
    zoom_to,
)
from core.display.footprint import RADII, Footprint, footprint, share_within
from core.display.words import percent
from core.segmenter import Prediction, Segmenter

PROPORTIONS = [float(f"{10**exponent:.2g}") for exponent in np.linspace(-4, 0, 41)]
"""Thresholds offered, as proportions of a maximum."""
_COLOUR_LIMITS = [1.0, 0.3, 0.1, 0.03, 0.01]
_ZOOM_PROPORTION = 0.01
_NUMBERS_PER_LINE = 6


def pick_colour_limit(slot: DeltaGenerator, label: str = "Colour limit") -> float:
    """Where the colours of the map end, as a proportion of its maximum; kept in the URL."""
    return slot.select_slider(
        label, _COLOUR_LIMITS, 0.1, key="limit", bind="query-params",
        format_func=lambda value: f"±{100 * value:.0f} % of max",
        help="Lower it to see faint gradients; what lies beyond is drawn in the end colour.",
    )  # fmt: skip


def prediction_sentence(segmenter: Segmenter, prediction: Prediction, pixel: tuple[int, int]) -> str:
    """What the network predicts at a pixel."""
    label = int(prediction.labels[pixel])
    return (
        f"At row **{pixel[0]}**, column **{pixel[1]}** the network says **{segmenter.class_names[label]}** with "
        f"probability **{prediction.probabilities[(label, *pixel)]:.3f}**. "
    )


def draw_pixel_map(
    panels: Sequence[DeltaGenerator], title: str, attribution: Attribution, remaining: Footprint, image: np.ndarray,
    pixel: tuple[int, int], height: int, key: str, *, colour_proportion: float, zoomed: bool,
) -> None:  # fmt: skip
    """The signed map in the first panel; in the second what of it lies above the threshold.

    Args:
        panels: Two columns.
        title: Name of the map.
        attribution: The map.
        remaining: What the threshold leaves of it.
        image: (C, H, W) in [0, 1].
        pixel: Row and column.
        height: Height of the pictures, in CSS pixels.
        key: Identity of the map; the zoom is kept for it.
        colour_proportion: Where the colours end, as a proportion of the maximum.
        zoomed: Show only the box of what exceeds 1 % of the maximum.
    """
    signed, base = attribution.signed_map(), intensity_rgb(image)
    scale = signed_scale(colour_limit(signed, proportion=colour_proportion))
    extent = footprint(attribution.magnitude(), _ZOOM_PROPORTION).box if zoomed else None
    view = f"{key}-{extent}"
    above = picture_figure(signed_over(base, signed, remaining.above), view, below=COLOUR_BAR_HEIGHT)
    figures = {
        f"**{title}**: signed": (map_figure(signed, attribution.unit, scale, view), "gradient-map"),
        "**Above the threshold**, with its box": (add_box(above, remaining.box), "overlay-map"),
    }
    for panel, (caption, (figure, chart)) in zip(panels, figures.items(), strict=True):
        zoom_to(add_crosshair(figure, *pixel, base.shape), extent)
        with panel:
            st.markdown(caption, help="Red raises the score as the pixel brightens, blue lowers it.")
            st.plotly_chart(figure, height=height + FRAME_HEIGHT, theme=None, config=CHART_BUTTONS, key=chart)


def show_numbers(
    segmenter: Segmenter, attribution: Attribution, prediction: Prediction, remaining: Footprint,
    pixel: tuple[int, int], of_what: str = "",
) -> None:  # fmt: skip
    """The network's answer at the pixel, how large the map is, what lies above the threshold, how the mass spreads.

    `of_what` names what the threshold is a proportion of, where that is not this map's maximum.
    """
    target, box = attribution.target, remaining.box
    magnitude = attribution.magnitude()
    probability = prediction.probabilities[(target.class_index, *pixel)]
    numbers = {
        f"P({segmenter.class_names[target.class_index]})": f"{probability:.4{'f' if probability >= 1e-3 else 'g'}}",
        "Label": segmenter.class_names[int(prediction.labels[pixel])],
        "Maximum": f"{magnitude.max():.4g}",
        "Threshold": f"{remaining.threshold:.4g}",
        "Pixels above": f"{remaining.count:,}",
        "Box rows": f"{box.top} – {box.bottom}" if box else "none",
        "Box columns": f"{box.left} – {box.right}" if box else "none",
        "Box area": f"{box.area:,} px" if box else "0 px",
        "Fulfilment": percent(remaining.fulfilment),
    } | {f"Within {radius} px": percent(share_within(magnitude, *pixel, radius)) for radius in RADII}
    helps = {
        "Threshold": f"In {attribution.unit}{of_what and f': {of_what}'}.",
        "Maximum": f"In {attribution.unit}.",
        "Fulfilment": "Pixels above the threshold as a share of the box's area.",
    } | {f"Within {radius} px": "Share of the sum of magnitudes within this distance of the pixel." for radius in RADII}
    names = list(numbers)
    for line in (names[:_NUMBERS_PER_LINE], names[_NUMBERS_PER_LINE:]):
        for slot, name in zip(st.columns(_NUMBERS_PER_LINE), line, strict=True):
            slot.metric(name, numbers[name], help=helps.get(name), border=True)
