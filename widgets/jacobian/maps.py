"""The maps of a Jacobian over its output pixels, at a threshold, as layers of a viewer."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np
import streamlit as st

from core.display.colours import colour_limit, magnitude_scale
from core.jacobian import Jacobian, Threshold, normalised
from core.jacobian.map_pictures import DIMMED, filled
from widgets.jacobian.controls import MAPS, View
from widgets.shared.results import results
from widgets.viewer.controls import Shown
from widgets.viewer.scene import Ends, ScalarMap

_UNITS = {
    "threshold": "input pixels that influence the pixel",
    "area": "input pixels in the box around them",
    "fulfilment": "share of the box that they fill",
}


def shown_map(jacobian: Jacobian, name: str, view: View) -> np.ndarray:
    """One of the maps "threshold", "area" and "fulfilment" for looking at, (H, W).

    Pixels whose row is not computed take the value of the nearest that is; NaN where the map says nothing.
    """
    compute = partial(_shown_map, jacobian, name, view)
    if not jacobian.complete:
        return compute()
    chosen = name, view.threshold, view.within, view.scaled
    key = "jacobian map", *jacobian.manifest.identity.values(), str(jacobian.path), *chosen
    with st.spinner("Reading every row…", show_time=True) if view.threshold.source == "rows" else nullcontext():
        return results().get_or_compute(key, compute)


def map_layer(
    jacobian: Jacobian, name: str, view: View, shown: Shown | None = None, *, is_needed: bool = True,
    is_read: bool = True,
) -> ScalarMap:  # fmt: skip
    """One of these maps over the image, which is dimmed where the map has no value; without values if not needed.

    Where it `is_read`, the line that reads values off says that they are those of the nearest computed pixel.
    """
    values = shown_map(jacobian, name, view) if is_needed else None
    has_counts = name in view.counts
    limits: dict[float, float] = {
        log: 1.0 if values is None else limit_of(name, values, is_log=log) for log in (False, True)
    }
    title = MAPS[name].lower() if jacobian.computed.all() else "at the nearest computed pixel"
    return ScalarMap(
        name=name, title=title, values=values, unit=unit_of(name, view), over=True, dims=DIMMED,
        scale=magnitude_scale(limits[False]), shown=shown, is_log="$log" if has_counts else False,
        ends=Ends("log", limits) if has_counts else None, is_read=is_read,
    )  # fmt: skip


def unit_of(name: str, view: View) -> str:
    """What the values of a map are."""
    if name == "threshold" and name not in view.counts:
        return "threshold map, minimum to maximum"
    return _UNITS[name]


def limit_of(name: str, values: np.ndarray, *, is_log: bool = False) -> float:
    """The end of a map's colour scale; a logarithmic one has room for the largest counts too."""
    return 1.0 if name == "fulfilment" else colour_limit(values, percentile=100 if is_log else 99)


def _shown_map(jacobian: Jacobian, name: str, view: View) -> np.ndarray:
    maps: dict[str, Callable[[Threshold], np.ndarray]] = {
        "threshold": jacobian.threshold_map, "area": jacobian.area_map, "fulfilment": jacobian.fulfilment_map,
    }  # fmt: skip
    values = filled(maps[name](view.threshold), jacobian.computed)
    if view.within:
        values = np.where(jacobian.predicted_region, values, np.float32(np.nan))
    return normalised(values) if view.scaled and name == "threshold" else values
