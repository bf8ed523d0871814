"""The maps of a Jacobian: which one, at which threshold, and as a picture to click into."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st
from plotly.colors import sample_colorscale

from core.display.colours import SEQUENTIAL, colour_limit, intensity_rgb, labels_over
from core.jacobian import Jacobian, Threshold, normalised
from core.jacobian.map_pictures import filled, map_over
from widgets.shared.pixel_map import PROPORTIONS, pick_colour_limit
from widgets.shared.pixel_state import pixel_inputs
from widgets.shared.results import results

PICTURES = {
    "threshold": "Threshold map",
    "area": "Box area",
    "fulfilment": "Fulfilment",
    "prediction": "Prediction",
    "image": "Image",
    "truth": "Truth",
}
UNITS = {
    "threshold": "input pixels above the threshold",
    "area": "input pixels in their bounding box",
    "fulfilment": "share of the box that is above the threshold",
}
_OPACITY = 0.4


@dataclass(frozen=True)
class View:
    """Which maps are shown, and how.

    Attributes:
        picture: One of `PICTURES`.
        threshold: Threshold of the maps.
        scaled: Whether the threshold map is shown between 0 and 1.
        within: Whether to leave out what is not predicted as the class.
        colour_limit: Colour limit of the row's map, as a share of its maximum.
        zoomed: Whether the row's maps show its extent only.
    """

    picture: str
    threshold: Threshold
    scaled: bool
    within: bool
    colour_limit: float
    zoomed: bool


def pick_view(jacobian: Jacobian, *, live: bool, has_truth: bool) -> tuple[View, tuple[int, int]]:
    """The controls of the maps and the pixel, all kept in the URL."""
    slots = st.columns([6.4, 3.4, 2.2], vertical_alignment="bottom")
    names = [name for name in PICTURES if name != "truth" or has_truth]
    picture = slots[0].segmented_control(
        "Picture to click", names, default="threshold", required=True, key="picture", bind="query-params",
        format_func=lambda name: PICTURES[name], wrap=True,
    )  # fmt: skip
    definition = slots[1].segmented_control(
        "Threshold relative to", ["absolute", "original"], default="absolute", required=True, key="definition",
        bind="query-params", format_func=lambda name: {"absolute": "Max |J|", "original": "Max J"}[name], wrap=True,
        help="Max |J|: the largest magnitude of all rows; the map holds counts. Max J: the largest signed value, with "
        "the map between its minimum and maximum, the definition of the first thresholded gradients.",
    )  # fmt: skip
    with slots[2]:
        pixel = pixel_inputs(*jacobian.size)
    slots = st.columns([3.1, 1.35, 1.75, 1.75, 2.4, 1.45], vertical_alignment="bottom")
    proportion = slots[0].select_slider(
        "Proportion of the maximum", PROPORTIONS, 0.01, key="threshold", bind="query-params",
        format_func=lambda value: f"{100 * value:.2g} %",
    )  # fmt: skip
    scaled = slots[1].toggle("0 to 1", key="scaled", bind="query-params", disabled=definition == "original",
                             help="Show the threshold map between its minimum and maximum, not as counts.")  # fmt: skip
    within = slots[2].toggle("In prediction", key="within", bind="query-params",
                             help="Leave out the pixels that are not predicted as this class.")  # fmt: skip
    kept = jacobian.manifest.keep_rows and not live
    exact = slots[3].toggle(
        "Exact counts", key="exact", bind="query-params", disabled=not kept,
        help="Read every row from the store, which takes seconds for gigabytes. Without, histograms answer at once, at "
        "the edge of a bin next to the threshold (at most 7 % away; for boxes, one edge per octave).",
    )  # fmt: skip
    limit = pick_colour_limit(slots[4], "Colour limit of the row")
    zoomed = slots[5].toggle(
        "Zoom in", value=True, key="zoom", bind="query-params",
        help="Show the row where it exceeds 1 % of its own maximum.",
    )  # fmt: skip
    threshold = Threshold(
        proportion, "original" if definition == "original" else "absolute", "rows" if exact and kept else "histogram"
    )  # fmt: skip
    return View(str(picture), threshold, scaled and definition == "absolute", within, limit, zoomed), pixel


def shown_map(jacobian: Jacobian, name: str, view: View) -> np.ndarray:
    """One of the maps "threshold", "area" and "fulfilment" for looking at, (H, W).

    Pixels whose row is not computed take the value of the nearest that is; NaN where the map says nothing.
    """
    values = filled(_raw_map(jacobian, name, view), jacobian.computed)
    if view.within:
        values = np.where(jacobian.labels == jacobian.manifest.class_index, values, np.float32(np.nan))
    return normalised(values) if view.scaled and name == "threshold" else values


def map_picture(jacobian: Jacobian, view: View, image: np.ndarray, truth: np.ndarray | None) -> np.ndarray:
    """What is clicked into, (H, W, 3) uint8."""
    base = intensity_rgb(image)
    if view.picture == "prediction":
        return labels_over(base, jacobian.labels, _OPACITY)
    if view.picture == "truth" and truth is not None:
        return labels_over(base, truth, _OPACITY)
    if view.picture not in UNITS:
        return base
    values = shown_map(jacobian, view.picture, view)
    return map_over(base, values, limit_of(view.picture, values))


def map_bar(jacobian: Jacobian, view: View) -> None:
    """The colour bar of `map_picture`; empty for pictures that are no maps."""
    if view.picture not in UNITS:
        return
    values = shown_map(jacobian, view.picture, view)
    limit = limit_of(view.picture, values)
    beyond = "≥ " if limit < colour_limit(values) else ""
    unit = unit_of(view.picture, view)
    number = ",.0f" if unit == UNITS[view.picture] else ".2g"
    if view.picture == "fulfilment":
        _colour_bar("100 %", "50 %", unit)
    else:
        _colour_bar(f"{beyond}{limit:{number}}", f"{limit / 2:{number}}", unit)


def _colour_bar(limit: str, middle: str, unit: str) -> None:
    """A bar from 0 to `limit`, as high as `core.display.figures.COLOUR_BAR_HEIGHT`, with the unit below it."""
    stops = ", ".join(sample_colorscale(SEQUENTIAL, [step / 8 for step in range(9)]))
    st.html(
        f'<div class="colour-bar" style="width: 90%; margin: 0 auto; color: #7d8794; '
        f'font-size: 12px; line-height: 16px">'
        f'<div style="height: 10px; background: linear-gradient(to right, {stops})"></div>'
        f'<div style="display: flex; justify-content: space-between">'
        f"<span>0</span><span>{middle}</span><span>{limit}</span></div>"
        f'<div style="text-align: center">{unit}</div></div>'
    )


def unit_of(name: str, view: View) -> str:
    """What the values of a map are."""
    if name == "threshold" and (view.scaled or view.threshold.definition == "original"):
        return "threshold map, minimum to maximum"
    return UNITS[name]


def limit_of(name: str, values: np.ndarray) -> float:
    """The end of a map's colour scale."""
    return 1.0 if name == "fulfilment" else colour_limit(values, percentile=99)


def _raw_map(jacobian: Jacobian, name: str, view: View) -> np.ndarray:
    maps: dict[str, Callable[[Threshold], np.ndarray]] = {
        "threshold": jacobian.threshold_map, "area": jacobian.area_map, "fulfilment": jacobian.fulfilment_map,
    }  # fmt: skip
    compute = partial(maps[name], view.threshold)
    if not jacobian.complete:
        return compute()
    key = "jacobian map", *jacobian.manifest.identity.values(), name, view.threshold
    with st.spinner("Reading every row…", show_time=True) if view.threshold.source == "rows" else nullcontext():
        return results().get_or_compute(key, compute)
