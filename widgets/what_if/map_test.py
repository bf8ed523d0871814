"""Put a map to the test: remove what it calls important, beside controls."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.attribution import Attribution
from core.attribution.registry import METHODS, explain, quick_settings
from core.compute.progress import progress_of_part
from core.counterfactual.map_areas import SHAPES, Shape
from core.counterfactual.map_test import AREAS, DEFAULT_SHARE, FILLS, Area, Fill, MapTest, map_test
from core.display.charts import Estimate, interval_figure
from core.display.words import number
from core.io.files import zip_bytes
from core.segmenter import Prediction
from widgets.shared.last_map import OLD_NOTE, keep_last
from widgets.shared.layer_picker import layer_choices, pick_layer
from widgets.shared.pixel_set_picker import Question, in_viewer, pick_pixel_set, pixel_set_layers, question_of
from widgets.shared.results import Report, results
from widgets.shared.setting_inputs import setting_inputs
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import cancel_others, compute_in_background, start_button
from widgets.viewer.controls import Shown, Switch, settings_of
from widgets.viewer.scene import Layer, Mask, Panel, Picture
from widgets.viewer.settings import ZOOMING
from widgets.viewer.viewer import viewer

_PLACE = "map test"
_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
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
    """

    method: str
    settings: Mapping[str, Any]
    share: float
    fill: Fill
    shape: Shape


def map_test_panel(selection: Selection, prediction: Prediction) -> None:
    """Choose a map and how much of it is removed; then the three falls of the score, and the three images."""
    st.caption(
        "A map claims that some pixels matter. Remove them, and the score should fall further than without as many "
        "other pixels: some at random, and those nearest to the pixels explained."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=215):
            name = pick_pixel_set(has_truth=selection.image.truth is not None, without=("prediction", "zero"))
        chosen = _pick(selection, prediction)
    question = question_of(name, selection, prediction)
    found, asked = None, False
    if question is None:
        cancel_others(None, [_PLACE])
    else:
        st.markdown(f"Followed: the {question.in_words(selection)}.")
        identity = _identity(selection, question, chosen)
        cancel_others(identity, [_PLACE])
        asked = start_button(
            ("map test asked", identity), "Test this map", "science", type="primary", key="run-map-test"
        )
        if asked:
            found = _tested(selection, question, chosen, identity)
    conclusion = st.container()
    last = keep_last("what_if_map_test", selection.picture_key, found) if asked else None
    controls = [_OUTLINE] if last is not None else []
    viewer(
        "what-if-map-test", _panels(selection, question, last, is_old=found is None), prediction.labels.shape,
        selection.picture_key, name=selection.image.name, controls=controls, settings=settings_of(controls),
        **in_viewer(name, selection, prediction),
    )  # fmt: skip
    if found is not None:
        with conclusion:
            _show_falls(found)
        st.download_button(
            "Areas, images and manifest (.zip)", lambda: zip_bytes(found.files()),
            f"{selection.image.stem}_{chosen.method}_test.zip", "application/zip", on_click="ignore",
            icon=":material/download:", type="tertiary", key="download-map-test",
        )  # fmt: skip


def _pick(selection: Selection, prediction: Prediction) -> Chosen:
    method = st.selectbox(
        "Map", list(METHODS), key="what_if_method", bind="query-params", width=210,
        format_func=lambda name: METHODS[name].title, help="The method whose map is put to the test.",
    )  # fmt: skip
    share = st.select_slider(
        "Removed", _SHARES, DEFAULT_SHARE, key="what_if_share", bind="query-params", width=150,
        format_func=lambda value: f"{100 * value:g} %",
        help="Share of the image's pixels that are removed: the most important ones by the map, and as many others.",
    )  # fmt: skip
    fill = st.selectbox(
        "Pixels become", list(FILLS), key="what_if_fill", bind="query-params", width=210,
        format_func=lambda name: FILLS[name],
        help="What is put in place of a pixel. Each choice asks another question: against black, dark pixels cannot "
        "matter; against a blur, what the blur keeps cannot.",
    )  # fmt: skip
    shape = st.selectbox(
        "Random areas", list(SHAPES), key="what_if_shape", bind="query-params", width=230,
        format_func=lambda name: SHAPES[name],
        help="Scattered pixels are another kind of change than the patches that most maps mark, and a network may mind "
        "one of them more. The map's own area, moved, is the same kind of change.",
    )  # fmt: skip
    return Chosen(method, _pick_settings(method, selection, prediction), float(share), fill, shape)


def _pick_settings(method: str, selection: Selection, prediction: Prediction) -> dict[str, Any]:
    """The settings of one method, with inputs only where it has some."""
    size = prediction.labels.shape[0], prediction.labels.shape[1]
    own = METHODS[method].settings
    defaults = quick_settings() | dict(METHODS[method].suited_to(size))
    found = {one.name: defaults.get(one.name, one.default) for one in own}
    has_layer = METHODS[method].kind == "layer"
    if not has_layer and not any(one.on_page for one in own):
        return found
    with st.popover("Settings", icon=":material/tune:"):
        if has_layer:
            choices = layer_choices(selection.segmenter, size)
            found["layer"] = pick_layer(choices, selection.segmenter, "Layer of class activation maps").name
        return found | setting_inputs(own, defaults, st.columns(1), "what_if_")


def _identity(selection: Selection, question: Question, chosen: Chosen) -> Hashable:
    """The same for the same map."""
    return selection.key, question.key, chosen.method, tuple(sorted(chosen.settings.items()))


def _tested(selection: Selection, question: Question, chosen: Chosen, identity: Hashable) -> MapTest | None:
    given = selection.segmenter, selection.image.values, question.target
    of_map = "map to test", identity

    def compute(report: Report) -> MapTest:
        is_known, half = of_map in results(), 50

        def explained() -> Attribution:
            return explain(*given, chosen.method, chosen.settings, progress_of_part(report, 0, half, 2 * half))

        attribution = results().get_or_compute(of_map, explained)
        progress = report if is_known else progress_of_part(report, half, half, 2 * half)
        return map_test(*given, attribution, chosen.share, chosen.fill, shape=chosen.shape, progress=progress)

    key = "map test", identity, chosen.share, chosen.fill, chosen.shape
    return compute_in_background(_PLACE, key, "The map and its test, per cent", compute)


def _panels(selection: Selection, question: Question | None, found: MapTest | None, *, is_old: bool) -> list[Panel]:
    image = Picture(image=selection.image.values)
    panels = [Panel("Image", [image, *pixel_set_layers(question)], help=ZOOMING)]
    if found is None:
        return panels
    for name in AREAS:
        falls = {"map": found.map_fall, "random": float(found.random_falls[0]), "nearest": found.nearest_fall}
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


def _show_falls(found: MapTest) -> None:
    words, chart = st.columns([1, 1.15], gap="medium", vertical_alignment="center")
    with words.container(border=True):
        icon, colour = (":material/check:", "green") if found.knows_more else (":material/close:", "orange")
        st.markdown(f"{found.sentence}\n\n:{colour}-badge[{icon} {found.verdict[:1].upper()}{found.verdict[1:]}]")
        for note in found.notes:
            st.caption(f":material/info: {note}.")
        st.caption(
            f"{found.pixels:,} pixels each; {100 * found.overlap:.0f} % of the map's are among the nearest. One image "
            "and one score: a single test proves little. The Trust page has more, also over several images."
        )
    with chart:
        st.plotly_chart(_figure(found), height=210, theme=None, config={"displayModeBar": False}, key="what-if-falls")


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
