"""How the boxes of a Jacobian relate to the vessels: charts whose points lead to their pixels."""

from dataclasses import replace

import numpy as np
import streamlit as st

from core.attribution.statistics import region_of
from core.display.charts import scatter_figure
from core.jacobian import Jacobian
from core.jacobian.vessel_geometry import medians, vessel_geometry
from core.trust.similarity import rank_correlation
from widgets.jacobian.controls import View
from widgets.jacobian.maps import shown_map, unit_of
from widgets.shared.chart_clicks import clickable_chart, take_click
from widgets.shared.pixel_answers import Pixel
from widgets.shared.pixel_state import set_pixel
from widgets.shared.results import results
from widgets.shared.sidebar import Selection

_MOST_DOTS = 2000
_HEIGHT = 340
_MEASURES = {"area": "Box area", "threshold": "Pixels above", "fulfilment": "Box filled"}
_ACROSS = {
    "width": ("Vessel width", "width (px)", "Width of the vessel at the nearest pixel of its centre line."),
    "distance": ("Distance to the skeleton", "distance (px)", "Distance to the nearest pixel of the centre line."),
}


def take_vessel_click(selection: Selection) -> Pixel | None:
    """The pixel of a point that was clicked since the last run, which becomes the pixel explained."""
    clicked = [take_click(_key(name, selection)) for name in _ACROSS]
    pixel = next((pixel for pixel in clicked if pixel is not None), None)
    if pixel is not None:
        set_pixel(*pixel)
    return pixel


def vessels_panel(selection: Selection, jacobian: Jacobian, view: View, pixel: Pixel) -> None:
    """How the box relates to the vessel's width and to the distance from its centre line."""
    truth = selection.image.truth
    sources = ["truth", "prediction"] if truth is not None else ["prediction"]
    inputs = st.container(horizontal=True)
    source = inputs.segmented_control(
        "Vessels from", sources, default=sources[0], required=True, key="mask", bind="query-params",
        format_func=lambda name: {"truth": "Ground truth", "prediction": "Prediction"}[name], wrap=True,
    )  # fmt: skip
    measure = inputs.segmented_control(
        "Against", list(_MEASURES), default="area", required=True, key="measure", bind="query-params",
        format_func=lambda name: _MEASURES[name], wrap=True,
    )  # fmt: skip
    labels = truth if source == "truth" and truth is not None else jacobian.labels
    mask = region_of(labels, jacobian.manifest.class_index)
    mask_key = "vessel geometry", source, mask.tobytes(), jacobian.size
    geometry = results().get_or_compute(mask_key, lambda: vessel_geometry(mask))
    used = geometry.mask & jacobian.computed
    view = replace(view, scaled=False, within=False)
    values = shown_map(jacobian, str(measure), view)[used]
    st.caption(
        f"{int(used.sum()):,} computed pixels inside the vessels; the line joins their medians. "
        "Click a point to see the gradient map of its pixel."
    )
    chosen = np.linspace(0, max(len(values) - 1, 0), min(len(values), _MOST_DOTS)).astype(int)
    pixels = [(int(row), int(column)) for row, column in np.argwhere(used)[chosen]]
    across = {"width": geometry.width, "distance": geometry.distance}
    for slot, (name, (title, axis, what)) in zip(st.columns(2), _ACROSS.items(), strict=True):
        along = across[name][used]
        rho, count = rank_correlation(along, values)
        shown = "not defined" if np.isnan(rho) else f"{rho:+.3f}"
        with slot:
            st.markdown(
                f"**{title}**: Spearman's ρ = **{shown}** over {count:,} pixels",
                help=f"{what} ρ is the rank correlation: +1 where one always grows with the other, -1 where it always "
                "falls. Neighbouring pixels are alike, so no p-value is given.",
            )
            figure = scatter_figure(
                (along[chosen], values[chosen]),
                medians(along, values),
                (axis, unit_of(str(measure), view)),
                [f"row {row}, column {column}" for row, column in pixels],
            )
            clickable_chart(figure, pixels, pixel, _key(name, selection), _HEIGHT)


def _key(name: str, selection: Selection) -> str:
    return f"vessels-{name}-{selection.picture_key}"
