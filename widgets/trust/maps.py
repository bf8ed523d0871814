"""The maps of all methods and controls side by side, and one of them large."""

import base64
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image as PillowImage

from core.attribution.registry import METHODS
from core.display.colours import DIVERGING, SEQUENTIAL, ColourScale, palette_png
from core.display.figures import CHART_BUTTONS, FRAME_HEIGHT, map_figure
from core.display.words import duration
from core.trust.controls import CONTROLS
from widgets.shared.downloads import attribution_downloads
from widgets.shared.links import restore_choice, write_to_url
from widgets.shared.results import results
from widgets.trust.gallery import Group, Tile, gallery
from widgets.trust.trial import Trial, TrustMap

LARGE_WIDTH = 400
_THUMBNAIL = 220
_PERCENTILES = [100.0, 99.9, 99.5, 99.0, 98.0, 95.0]
_SCALES = {"own": "Each its own", "unit": "One per unit"}


def maps_panel(trial: Trial, maps: Mapping[str, TrustMap]) -> None:
    """The gallery, and the map that is chosen in it with its colour bar."""
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        shared, percentile = _pick_scale()
    offered = {name: METHODS[name].title for name in trial.methods} | {
        name: one.title for name, one in maps.items() if one.is_control
    }
    first = next(iter(offered))
    restore_choice("shown", list(offered), first)
    with right:
        slots = st.columns([1.3, 1], vertical_alignment="bottom", gap="medium")
        name = slots[0].selectbox("Shown large", list(offered), key="shown", format_func=lambda one: offered[one])
        write_to_url("shown", name, first)
        opacity = slots[1].slider(
            "Opacity", 0, 100, 70, 5, format="%d%%", key="trust_opacity", bind="query-params"
        ) / 100  # fmt: skip
    groups, limits = results().get_or_compute(
        ("trust gallery", trial.identity, trial.methods, tuple(maps), percentile, shared),
        lambda: _groups_and_limits(trial, maps, percentile, shared=shared),
    )
    with left:
        height, width = trial.prediction.labels.shape
        gallery(
            groups, name, width / height,
            lambda picked: st.session_state.update(shown=picked), key="trust-gallery",
        )  # fmt: skip
    with right:
        _draw_large(trial, maps.get(name), limits.get(name, (0.0, 1.0)), offered[name], opacity)
    shown = maps.get(name)
    if shown is not None and shown.attribution is not None:
        chosen = shown.attribution
        parameters = {**chosen.parameters, "pixel_set": trial.question.pixel_set.describe()}
        stem = f"{Path(trial.image.name).stem}_{name}_{trial.question.pixel_set.name}"
        attribution_downloads(dataclasses.replace(chosen, parameters=parameters), stem)


def colour_limits(maps: Mapping[str, TrustMap], percentile: float, *, shared: bool) -> dict[str, tuple[float, float]]:
    """Where the colours of each map begin and end; common to the methods of one unit if `shared`."""
    own = {name: one.limits(percentile) for name, one in maps.items()}
    if not shared:
        return own
    ends: dict[str, float] = {}
    for name, one in maps.items():
        ends[one.unit] = max(ends.get(one.unit, 0.0), own[name][1])
    return {
        name: own[name] if one.is_control else (-ends[one.unit] if one.is_signed else 0.0, ends[one.unit])
        for name, one in maps.items()
    }


def coloured(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """A map as a picture (H, W, 3): around 0 where the limits are, else from the lower limit to the upper one."""
    low, high = limits
    return ColourScale(low, high, DIVERGING if low == -high else SEQUENTIAL).rgb(values)


def _groups_and_limits(
    trial: Trial, maps: Mapping[str, TrustMap], percentile: float, *, shared: bool
) -> tuple[list[Group], dict[str, tuple[float, float]]]:
    """The methods (by unit where they share a scale), then the controls in a frame; and `colour_limits`."""
    limits = colour_limits(maps, percentile, shared=shared)
    methods = {name: _tile(name, maps.get(name), limits) for name in trial.methods}
    groups = []
    if shared:
        units = dict.fromkeys(maps[name].unit for name in methods if name in maps)
        for unit in units:
            ours = [name for name in methods if name in maps and maps[name].unit == unit]
            note = f"one scale, up to {max(limits[name][1] for name in ours):.3g}"
            groups.append(Group(f"{unit[:1].upper()}{unit[1:]}", note, tuple(methods[name] for name in ours)))
        waiting = tuple(methods[name] for name in methods if name not in maps)
        groups += [Group("Not there yet", "", waiting)] if waiting else []
    elif methods:
        groups.append(Group("", "", tuple(methods.values())))
    controls = tuple(_tile(name, one, limits) for name, one in maps.items() if one.is_control)
    note = "made without the network: what an explanation has to beat"
    return [*groups, Group("Controls", note, controls, apart=True)], limits


def thumbnail(values: np.ndarray, limits: tuple[float, float], longest: int = _THUMBNAIL) -> bytes:
    """A map as a small PNG, averaged down but never magnified."""
    scale = min(1.0, longest / max(values.shape))
    size = max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale))
    small = PillowImage.fromarray(values.astype(np.float32)).resize(size, PillowImage.Resampling.BOX)
    return palette_png(coloured(np.asarray(small), limits))


def _pick_scale() -> tuple[bool, float]:
    slots = st.columns([1, 1], vertical_alignment="bottom", gap="medium")
    scale = slots[0].segmented_control(
        "Colour scale", list(_SCALES), default="own", required=True, key="trust_scale", bind="query-params",
        format_func=lambda name: _SCALES[name], width="stretch", wrap=True,
        help="Each its own: every map from its own 0 to its own largest value, to compare patterns. One per unit: a "
        "common scale, to compare sizes. That only makes sense among maps of one unit, so they are grouped by it; "
        "the controls keep scales of their own.",
    )  # fmt: skip
    percentile = slots[1].select_slider(
        "Colours end at the percentile", _PERCENTILES, 99.5, key="trust_percentile", bind="query-params",
        format_func=lambda value: f"{value:g}",
        help="Percentile of the pixels that are not 0. A few extreme pixels would hide all others at 100.",
    )  # fmt: skip
    return scale == "unit", float(percentile)


def _tile(name: str, one: TrustMap | None, limits: Mapping[str, tuple[float, float]]) -> Tile:
    if one is None:
        return Tile(name, METHODS[name].title, "not there yet", "")
    picture = base64.b64encode(thumbnail(one.values, limits[name])).decode()
    return Tile(name, one.title, "" if one.attribution is None else _time_taken(one.attribution.seconds), picture)


def _time_taken(seconds: float) -> str:
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _draw_large(trial: Trial, one: TrustMap | None, limits: tuple[float, float], title: str, opacity: float) -> None:
    if one is None:
        st.info(f"{title} is not there yet.", icon=":material/hourglass_top:")
        return
    height, width = one.values.shape
    scale = ColourScale(*limits, DIVERGING if one.is_signed else SEQUENTIAL)
    revision = f"trust-{trial.image.hash[:12]}"
    figure = map_figure(one.values, one.unit, scale, revision, trial.image.values, opacity)
    frame = int(np.clip(LARGE_WIDTH * height / width, 160, 480)) + FRAME_HEIGHT
    st.plotly_chart(figure, height=frame, theme=None, config=CHART_BUTTONS, key="trust-map")
    sentence = CONTROLS[one.name].sentence if one.is_control else METHODS[one.name].sentence
    layer = one.attribution.layer if one.attribution is not None else None
    st.caption(sentence + (f" At **{layer}**." if layer else ""))
