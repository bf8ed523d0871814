"""The distance to the flip at every n-th pixel."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from core.counterfactual import FragilityMap, fragility_map
from core.counterfactual.flip import Measure
from core.counterfactual.fragility import DEFAULT_EVERY, NOT_DONE, open_fragility_map
from core.display.colours import magnitude_scale
from core.display.words import duration, number, percent
from core.errors import UserError
from core.io.files import zip_bytes
from core.receptive_field.known import learn_field
from core.segmenter import Prediction
from widgets.shared.pixel_state import restore_pixel
from widgets.shared.results import Report, results
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import cancel_others, compute_in_background, part_at, start_button
from widgets.shared.sources import seconds_per_image
from widgets.shared.store_folder import store_folder
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.scene import Labels, Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING
from widgets.viewer.viewer import viewer

_PLACE = "fragility map"
_MEASURES: dict[Measure, str] = {"l2": "L2 norm", "linf": "Largest change (L∞)"}
_RUNS_PER_PIXEL = 130
"""Runs of the network that a search takes about as long as."""
_LABEL_OPACITY = 0.4


def fragility_panel(selection: Selection, prediction: Prediction) -> None:
    """Start the map, watch it grow, and go from a pixel of it to its smallest change."""
    st.caption(
        "How small a change of the image flips the label of each pixel: dark is fragile. It is kept on disk row by "
        "row, goes on while you are elsewhere, and a run that was stopped is resumed."
    )
    height, width = prediction.labels.shape
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        every = int(
            st.number_input(
                "Every n-th pixel", 1, min(height, width), min(DEFAULT_EVERY, height, width), key="what_if_every",
                bind="query-params", width=150, help="In rows and columns: half of it takes four times as long.",
            )
        )  # fmt: skip
        measure: Measure = st.segmented_control(
            "Distance", list(_MEASURES), default="l2", required=True, key="what_if_distance", bind="query-params",
            format_func=lambda each: _MEASURES[each],
            help="Of the smallest change found: the root of the sum of its squares, or its largest value.",
        )  # fmt: skip
        started = st.container(width="content")
    folder = _folder(selection, every, measure)
    key = _PLACE, str(folder)
    cancel_others(str(folder), [_PLACE])
    count = len(range(every // 2, height, every)) * len(range(every // 2, width, every))
    found, so_far = None, _kept(folder)
    # A page that was reloaded takes part in what goes on; a finished map needs no button.
    is_wanted = results().is_under_way(key) or (so_far is not None and so_far.done == 1)
    with show_user_errors():
        if not is_wanted:
            with started:
                seconds = count * _RUNS_PER_PIXEL * seconds_per_image(selection.segmenter, selection.image)
                is_wanted = start_button(
                    key, "Compute the map" if so_far is None else "Go on", "play_arrow",
                    type="primary", key="run-fragility",
                    describe=lambda: st.caption(f"{count:,} pixels, about {duration(seconds)} or less."),
                )  # fmt: skip
        if is_wanted:
            found = compute_in_background(
                _PLACE, key, "Fragility map, pixels", partial(_compute, selection, every, measure, folder),
                partial(part_at, _PLACE),
            )  # fmt: skip
            so_far = part_at(_PLACE) or so_far
    shown = found or so_far
    if shown is not None and not shown.done:
        shown = None
    _show_words(shown)
    pixel = restore_pixel(selection.image, prediction, selection.segmenter.class_names)
    viewer(
        "fragility", _panels(selection, prediction, shown), (height, width), selection.picture_key,
        name=selection.image.name, pixel=pixel, has_position=True,
    )  # fmt: skip
    st.button(
        "The smallest change of this pixel", key="what_if_closer", icon=":material/arrow_forward:", type="tertiary",
        on_click=_look_closer,
    )  # fmt: skip
    if shown is not None:
        st.download_button(
            "Distances and manifest (.zip)", lambda: zip_bytes(shown.files()),
            f"{selection.image.stem}_fragility.zip", "application/zip", on_click="ignore", icon=":material/download:",
            type="tertiary", key="download-fragility",
        )  # fmt: skip


def _folder(selection: Selection, every: int, measure: Measure) -> Path:
    """Where the map is kept: in the folder of Jacobians, under a name that tells networks and images apart."""
    identity = hashlib.sha256("".join(selection.key).encode()).hexdigest()[:16]
    return store_folder() / "fragility" / f"{selection.image.stem[:40]}_{measure}_every{every}_{identity}"


def _kept(folder: Path) -> FragilityMap | None:
    """What an earlier run has left; None for nothing that can be read."""
    try:
        return open_fragility_map(folder)
    except UserError:
        return None


def _compute(selection: Selection, every: int, measure: Measure, folder: Path, report: Report) -> FragilityMap:
    image = selection.image.values
    report(0, 1)
    learn_field(selection.segmenter, (image.shape[1], image.shape[2]))  # a search then takes a part of the image only
    return fragility_map(selection.segmenter, image, every, measure, out=folder, progress=report, show=report.show)


def _show_words(shown: FragilityMap | None) -> None:
    if shown is None:
        return
    found = shown.found
    missing = int(np.isnan(shown.distances).sum())
    unit = "L2 norm" if shown.measure == "l2" else "largest change"
    so_far = f" so far ({percent(shown.done)} of the pixels)" if shown.done < 1 else ""
    if not len(found):
        sentence = "No flip was found" + so_far + "."
    else:
        grey = f" ({number(255 * float(np.median(found)), 3)} grey levels)" if shown.measure == "linf" else ""
        median, smallest = (number(float(value), 3) for value in (np.median(found), found.min()))
        sentence = (
            f"Half of the labels{so_far} flip by a change of {unit} {median}{grey} or less, the most fragile by "
            f"{smallest}."
        )
    if missing:
        sentence += f" For {missing:,} pixel{'' if missing == 1 else 's'} no flip was found."
    with st.container(border=True):
        st.markdown(sentence)
        st.caption(
            "Upper bounds of the true distances: smaller changes may exist. Small ones show fragility, no reason."
        )


def _panels(selection: Selection, prediction: Prediction, shown: FragilityMap | None) -> list[Panel]:
    names = selection.segmenter.class_names
    image = Panel(
        "Image",
        [
            Picture(image=selection.image.values),
            Labels(name="labels", title="label", labels=prediction.labels, class_names=names, opacity=_LABEL_OPACITY),
        ],
        help=ZOOMING,
    )
    if shown is None:
        return [image]
    found = shown.found
    limit = float(np.percentile(found, 98)) if len(found) else 1.0
    values = np.where(shown.distances == NOT_DONE, np.float32(np.nan), shown.distances)
    covers = values.shape[0] * shown.every, values.shape[1] * shown.every
    layer = ScalarMap(
        name="distance", title="distance to the flip", values=values, scale=magnitude_scale(limit or 1.0),
        unit="intensity", covers=covers, over=True,
    )  # fmt: skip
    return [
        image,
        Panel(
            "Distance to the flip",
            [Picture(image=selection.image.values), layer],
            help="Dark: a small change flips the label.",
            note="dark: fragile",
        ),
    ]


def _look_closer() -> None:
    st.session_state["what_if"] = "Smallest change"
    st.session_state["pixel_set"] = "point"
