"""Put a map to the test: remove what it calls important, beside controls."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.registry import METHODS, explain, importance, quick_settings
from core.counterfactual.map_areas import SHAPES, Shape
from core.counterfactual.map_outcome import AREAS, FILLS, Area, Fill, MapTest
from core.counterfactual.map_test import DEFAULT_DRAWS, DEFAULT_SHARE, map_test
from core.display.charts import Estimate, interval_figure
from core.display.colours import FULL_COLOUR_PERCENTILE, colour_limit, magnitude_scale, signed_scale
from core.display.words import duration, number
from core.io.files import zip_bytes
from core.segmenter import Prediction
from widgets.shared.last_map import OLD_NOTE, keep_last
from widgets.shared.layer_picker import layer_choices, pick_layer
from widgets.shared.pixel_set_picker import Question, in_viewer, pick_pixel_set, pixel_set_layers, question_of
from widgets.shared.results import Report, results
from widgets.shared.setting_inputs import setting_inputs
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import cancel_others, compute_in_background, start_button
from widgets.shared.sources import seconds_per_image
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.controls import Shown, Switch, settings_of
from widgets.viewer.scene import Layer, Mask, Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING
from widgets.viewer.viewer import viewer
from widgets.what_if.per_cent import per_cent

_PLACE = "map test"
_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_AREAS = DEFAULT_DRAWS + 3
_RUNS_PER_PASS = 3
"""Runs of the network that take as long as one pass forward and backward; the slow methods run it forward only."""
_TITLES: dict[Area, str] = {
    "map": "Without the map's top",
    "random": "Without a random area",
    "nearest": "Without the nearest",
}
_OUTLINE = Switch(
    name="what_if_outline", label="Outline what was removed", default=True,
    help="The border of the area whose pixels were replaced.",
)  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """What is tested and how.

    Attributes:
        method: Name of the method whose map is tested.
        settings: Its settings, by name.
        share: Share of the pixels that are removed.
        fill: What they become.
        shape: What the random areas are made of.
        context_only: Whether the pixels explained stay.
    """

    method: str
    settings: Mapping[str, Any]
    share: float
    fill: Fill
    shape: Shape
    context_only: bool

    @property
    def removal(self) -> dict[str, Any]:
        """How pixels are removed, as arguments of `map_test`."""
        return {"share": self.share, "fill": self.fill, "shape": self.shape, "context_only": self.context_only}


@dataclass(frozen=True, eq=False)
class Tested:
    """A map and its test.

    Attributes:
        importance: Float32 (H, W), the importance of each pixel by the map.
        unit: Unit of the importance.
        outcome: What the test found.
    """

    importance: np.ndarray
    unit: str
    outcome: MapTest


def map_test_panel(selection: Selection, prediction: Prediction) -> None:
    """Choose a map and how much of it is removed; then the three falls of the score, and the three images."""
    st.caption(
        "A map claims that some pixels matter. Remove them, and the score should fall further than without as many "
        "other pixels: some at random, and those nearest to the pixels explained."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=245):
            name = pick_pixel_set(has_truth=selection.image.truth is not None, without=("prediction", "zero"))
        chosen = _pick(selection, prediction)
        button = st.container(width="content")
    question = question_of(name, selection, prediction)
    tested, is_asked = None, False
    if question is None:
        cancel_others(None, [_PLACE])
    else:
        identity = _identity(selection, question, chosen)
        cancel_others(identity, [_PLACE])
        asked = "map test asked", identity
        with button:
            is_asked = start_button(
                asked,
                "Test this map",
                "science",
                type="primary",
                key="run-map-test",
                help=f"About {_time(selection, chosen)}.",
            )
        st.markdown(f"Followed: the {question.in_words(selection)}.")
        if is_asked:
            with show_user_errors():  # the viewer stays, for other pixels to be chosen
                tested = _tested(selection, question, chosen, identity)
    if tested is not None:
        _show_falls(tested.outcome, chosen)
    last = keep_last("what_if_map_test", selection.picture_key, tested) if is_asked else None
    height, width = prediction.labels.shape
    panels = [Panel("Image", [Picture(image=selection.image.values), *pixel_set_layers(question)], help=ZOOMING)]
    if last is not None:
        panels.append(_map_panel(last, is_old=tested is None))
    viewer(
        "what-if-map", panels, (height, width), selection.picture_key, name=selection.image.name,
        **in_viewer(name, selection, prediction),
    )  # fmt: skip
    if last is None:
        return
    viewer(
        "what-if-removed", _removed_panels(last.outcome, is_old=tested is None), (height, width),
        selection.picture_key, name=selection.image.name, tools=(), controls=[_OUTLINE],
        settings=settings_of([_OUTLINE]),
    )  # fmt: skip
    st.download_button(
        "Areas, images and manifest (.zip)", lambda: zip_bytes(last.outcome.files()),
        f"{selection.image.stem}_{chosen.method}_test.zip", "application/zip", on_click="ignore",
        icon=":material/download:", type="tertiary", key="download-map-test", disabled=tested is None,
    )  # fmt: skip


def _pick(selection: Selection, prediction: Prediction) -> Chosen:
    method = st.selectbox(
        "Map", list(METHODS), key="what_if_method", bind="query-params", width=225,
        format_func=lambda name: METHODS[name].title, help="The method whose map is put to the test.",
    )  # fmt: skip
    share = st.select_slider(
        "Removed", _SHARES, DEFAULT_SHARE, key="what_if_share", bind="query-params", width=110,
        format_func=lambda value: f"{100 * value:g} %",
        help="Share of the image's pixels that are removed: the most important ones by the map, and as many others.",
    )  # fmt: skip
    with st.popover("Settings", icon=":material/tune:"):
        fill = st.selectbox(
            "Pixels become", list(FILLS), key="what_if_fill", bind="query-params", format_func=lambda name: FILLS[name],
            help="What is put in place of a pixel. Each choice asks another question: against black, dark pixels "
            "cannot matter; against a blur, what the blur keeps cannot.",
        )  # fmt: skip
        shape = st.selectbox(
            "Random areas", list(SHAPES), key="what_if_shape", bind="query-params",
            format_func=lambda name: SHAPES[name],
            help="Scattered pixels are another kind of change than the patches that most maps mark, and a network may "
            "mind one of them more. The map's own area, moved, is the same kind of change.",
        )  # fmt: skip
        context_only = st.toggle(
            "Context only", key="what_if_context", bind="query-params",
            help="The pixels explained themselves stay; only their surroundings are removed.",
        )  # fmt: skip
        settings = _pick_settings(method, selection, prediction)
    return Chosen(method, settings, float(share), fill, shape, context_only)


def _pick_settings(method: str, selection: Selection, prediction: Prediction) -> dict[str, Any]:
    """The settings of one method, with inputs for those that it has."""
    size = prediction.labels.shape[0], prediction.labels.shape[1]
    own = METHODS[method].settings
    defaults = quick_settings() | dict(METHODS[method].suited_to(size))
    found = {one.name: defaults.get(one.name, one.default) for one in own}
    if METHODS[method].kind == "layer":
        choices = layer_choices(selection.segmenter, size)
        found["layer"] = pick_layer(choices, selection.segmenter, "Layer of class activation maps").name
    return found | setting_inputs(own, defaults, st.columns(1), "what_if_")


def _time(selection: Selection, chosen: Chosen) -> str:
    method, (_, height, width) = METHODS[chosen.method], selection.image.values.shape
    passes = method.passes(method.settings_from(chosen.settings), selection.segmenter, (height, width))
    runs = (_RUNS_PER_PASS if method.is_quick else 1) * passes + _AREAS
    return duration(runs * seconds_per_image(selection.segmenter, selection.image))


def _identity(selection: Selection, question: Question, chosen: Chosen) -> Hashable:
    """The same for the same map."""
    return selection.key, question.key, chosen.method, tuple(sorted(chosen.settings.items()))


def _tested(selection: Selection, question: Question, chosen: Chosen, identity: Hashable) -> Tested | None:
    given = selection.segmenter, selection.image.values, question.target
    of_map = "map to test", identity

    def compute(report: Report) -> Tested:
        is_known = of_map in results()

        def explained() -> Attribution:
            return explain(*given, chosen.method, chosen.settings, per_cent(report, 0, 50))

        attribution = results().get_or_compute(of_map, explained)  # another share costs only the test
        progress = per_cent(report, 0 if is_known else 50, 100)
        outcome = map_test(*given, attribution, **chosen.removal, progress=progress)
        return Tested(importance(attribution), attribution.unit, outcome)

    key = "map test", identity, *chosen.removal.values()
    return compute_in_background(_PLACE, key, "The map and its test, per cent", compute)


def _map_panel(tested: Tested, *, is_old: bool) -> Panel:
    """The importance of the pixels by the map, which is what they are removed by."""
    values, title = tested.importance, tested.outcome.title
    end = colour_limit(values[values != 0], percentile=FULL_COLOUR_PERCENTILE)
    scale = signed_scale(end) if values.min() < 0 else magnitude_scale(end)
    layer = ScalarMap(name="importance", title=title, values=values, scale=scale, unit=tested.unit)
    return Panel(title, [layer], help="The importance of each pixel by this map.", note=OLD_NOTE if is_old else "")


def _removed_panels(found: MapTest, *, is_old: bool) -> list[Panel]:
    """The image without each of the three areas."""
    panels = []
    falls = {"map": found.map_fall, "random": float(found.random_falls[0]), "nearest": found.nearest_fall}
    for name in AREAS:
        layers: list[Layer] = [
            Picture(name=f"without {name}", image=found.images[name]),
            Mask(name=f"area {name}", mask=found.areas[name], opacity=0.0, shown=Shown(_OUTLINE.name)),
        ]
        help_ = f"{found.pixels:,} pixels were replaced."
        if name == "random":
            help_ += " The first of the random areas is shown; the chart has all of them."
        note = OLD_NOTE if is_old else f"{found.target.score_unit} {_signed(-falls[name])}"
        panels.append(Panel(_TITLES[name], layers, help=help_, note=note))
    return panels


def _show_falls(found: MapTest, chosen: Chosen) -> None:
    words, chart = st.columns([1, 1], gap="medium", vertical_alignment="center")
    with words.container(border=True):
        st.markdown(f"{_badge(found)}\n\n{found.sentence}")
        for note in found.notes:
            st.caption(f":material/info: {note}.")
    with chart:
        st.plotly_chart(_figure(found), height=210, theme=None, config={"displayModeBar": False}, key="what-if-falls")
    stay = " The pixels explained stay." if chosen.context_only else ""
    st.caption(
        f"{found.pixels:,} pixels each, replaced by: {_lower(FILLS[chosen.fill])}. Random areas: "
        f"{_lower(SHAPES[chosen.shape])}.{stay} {100 * found.overlap:.0f} % of the map's area is also among the "
        "nearest. It is one image and one score; the Trust page has more tests, also over several images."
    )


def _badge(found: MapTest) -> str:
    if found.knows_more:
        return ":green-badge[:material/check: Knows more than the distance]"
    if found.against_random <= 0:
        return ":red-badge[:material/close: No better than chance]"
    like = "Knows as much as the distance" if found.against_nearest == 0 else "Knows less than the distance"
    return f":orange-badge[:material/close: {like}]"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _figure(found: MapTest) -> Any:
    mean = found.random_fall
    nan = float("nan")
    random = f"Random, {len(found.random_falls)} draws"
    low, high = float(found.random_falls.min()), float(found.random_falls.max())
    figure = interval_figure(
        {
            f"Fall of the {found.target.score_unit}": [
                Estimate(found.title, found.map_fall, nan, nan),
                Estimate(
                    random, mean.mean, mean.low, mean.high, is_control=True,
                    note=f"95 % interval of the mean; single draws from {number(low, 3)} to {number(high, 3)}",
                ),
                Estimate("Nearest", found.nearest_fall, nan, nan, is_control=True),
            ]
        },
        columns=1,
    )  # fmt: skip
    figure.add_scatter(
        x=found.random_falls.tolist(), y=[random] * len(found.random_falls), mode="markers",
        marker={"size": 5, "color": "rgba(125,135,148,0.45)"}, hovertemplate="one draw: %{x:.4g}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(zeroline=True, zerolinecolor="rgba(125,135,148,0.6)", rangemode="tozero")
    return figure.update_layout(height=210, margin={"t": 32})


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, 3)}"
