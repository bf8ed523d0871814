"""Class activation maps: every layer and every method of one pixel set, from one pass."""

import dataclasses
from collections.abc import Collection
from functools import partial

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.cam import POOLINGS, LayerAdvice, Pooling, cam_methods, cam_warnings, gradient_methods
from core.attribution.registry import METHODS
from core.display.words import number, percent
from core.models.layers import Layer
from core.segmenter import Prediction
from core.target import Reduction
from widgets.cams import views
from widgets.cams.atlas import Atlas, atlas_of, identity_of, perturbation_map
from widgets.cams.layers import pick_atlas_layers
from widgets.cams.maps import Drawn, draw, share_inside
from widgets.cams.pinned import MOST_PINNED, pin_button, pinned_maps
from widgets.shared.downloads import attribution_downloads
from widgets.shared.header import page_header
from widgets.shared.last_map import keep_last
from widgets.shared.layer_picker import layer_choices, pick_layer, size_and_stride
from widgets.shared.links import restore_choice, write_to_url
from widgets.shared.pixel_set_picker import Question, in_viewer, pick_pixel_set, pick_reduction, question_of
from widgets.shared.recipes import attribution_recipe
from widgets.shared.results import results
from widgets.shared.send_pixel import send_pixel
from widgets.shared.sidebar import Selection, pick_selection, side_bar
from widgets.shared.slow_work import cancel_others
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.controls import settings_of
from widgets.viewer.scene import Number, Words
from widgets.viewer.viewer import viewer

DEFAULT_METHOD = "seg_hires_grad_cam"
PLACES = "cam", "subtracted cam", *(f"pinned cam {index}" for index in range(MOST_PINNED))
"""Of the work for one question."""
_PICKER_WIDTHS = 191, 232, 202
"""Pixels: side by side at 1280."""
_SHARES = 1.0, 1.25
"""Widths of the large map and of the atlas beside it; several large maps take the whole width."""
_STYLE = """
<style>
.st-key-maps_and_atlas [data-testid="stHorizontalBlock"] {flex-wrap: wrap; align-items: flex-start}
.st-key-maps_and_atlas [data-testid="stColumn"] {min-width: min(20rem, 100%)}
@media (min-width: 1100px) {
  .st-key-maps_and_atlas [data-testid="stColumn"]:first-child {position: sticky; top: 3.5rem}
}
</style>
"""
"""The large map stays while the atlas beside it is scrolled; the two are stacked where they are narrow."""


def main() -> None:
    page_header(
        "Class activation maps",
        "Which layers support this class, and where? Every layer by every method at once.",
    )
    with show_user_errors():
        with side_bar() as files:
            selection = pick_selection(files)
            reduction = pick_reduction()
        prediction = selection.predict()
        explore(selection, prediction, layer_choices(selection.segmenter, prediction.labels.shape), reduction)


@st.fragment
@show_user_errors()
def explore(selection: Selection, prediction: Prediction, choices: LayerAdvice, reduction: Reduction) -> None:
    image = selection.image
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        slots = [st.container(width=width) for width in (*_PICKER_WIDTHS, "content")]
    with slots[0]:
        name = pick_pixel_set(has_truth=image.truth is not None)
    with slots[1]:
        layer = pick_layer(choices, selection.segmenter)
    with slots[2]:
        method = pick_method()
    question = question_of(name, selection, prediction, reduction)
    cancel_others(None if question is None else identity_of(selection, question), PLACES)
    pinned = pinned_maps(choices.layers)
    lead, slot = st.container(), st.container(key="maps_and_atlas")
    with st.expander("Difference of two methods, layers of the atlas, window of Seg-XRes-CAM", icon=":material/tune:"):
        other = pick_other(method)
        layers, window, pooling = pick_atlas(choices, {layer.name, *(at for at, _ in pinned)})
    controls = views.controls_of(has_truth=image.truth is not None)
    settings = settings_of(controls)
    atlas, shown, drawn, beside = None, None, None, []
    with lead:
        if question is not None:
            st.markdown(f"Explained: the {question.in_words(selection)}, as seen by **{layer.name}**.")
            atlas = atlas_of(selection, question, layers, window, pooling)
            shown = map_by(method, layer, selection, question, atlas, "cam")
            subtracted = None if other is None else map_by(other, layer, selection, question, atlas, "subtracted cam")
            if shown is not None and (other is None or subtracted is not None):
                drawn = drawn_by(atlas, shown, subtracted)
            is_difference = drawn is not None and subtracted is not None
            beside = [
                drawn_by(atlas, one)
                for index, (at, by) in enumerate(pinned)
                if is_difference or (at, by) != (layer.name, method)
                if (one := map_by(by, choices.layers[at], selection, question, atlas, f"pinned cam {index}"))
            ]
    if shown is not None:
        with slots[3]:
            pin_button((layer.name, method), pinned)
    last = keep_last("cam", selection.picture_key, drawn)
    with slot:
        st.html(_STYLE)
        left, right = (st.container(), st.container()) if beside else st.columns(_SHARES)
    with left:
        viewer(
            "cam",
            views.panels_of(
                selection,
                prediction,
                question,
                [*([last] if last else []), *beside],
                settings,
                is_old=drawn is None,
                is_pinned=(layer.name, method) in pinned and other is None,
            ),
            prediction.labels.shape,
            selection.picture_key,
            name=image.name,
            controls=controls,
            settings=settings,
            words=None if shown is None or question is None else Words(numbers=numbers_of(shown, layer, question)),
            recipe=None
            if drawn is None or question is None
            else attribution_recipe(
                selection,
                question.pixel_set,
                question.target.score,
                method,
                {"layer": layer.name, "window": window, "pooling": pooling},
                question.target.reduction,
            ),
            **in_viewer(name, selection, prediction),
        )
        send_pixel("cams", is_pixel=name == "point")
        st.caption(f"**{METHODS[method].title}**: {METHODS[method].sentence}")
        advise(choices, layer, shown, prediction)
    if question is None or atlas is None:
        return
    with right:
        st.markdown(
            "**Atlas**: click a map to see it large.",
            help="Layers from the input to the output, each with its size. A mark warns that a map means little.",
        )
        views.show_atlas(choices, atlas, (layer.name, method), settings, prediction, selection, choose)
        st.caption(f"All {len(atlas.maps)} maps come from one forward and one backward pass, in {atlas.seconds:.2g} s.")
    if shown is not None:
        parameters = {**shown.parameters, "pixel_set": question.pixel_set.describe()}
        stem = f"{image.stem}_{method}_{layer.name}_{question.pixel_set.name}"
        attribution_downloads(dataclasses.replace(shown, parameters=parameters), stem)


def drawn_by(atlas: Atlas, shown: Attribution, subtracted: Attribution | None = None) -> Drawn:
    """The map for the picture, kept: the browser fetches the same arrays once."""
    places = [None if one is None else (one.layer, one.method) for one in (shown, subtracted)]
    return results().get_or_compute(("drawn cam", atlas.key, *places), partial(draw, shown, subtracted, atlas.peaks))


def map_by(
    method: str, layer: Layer, selection: Selection, question: Question, atlas: Atlas, place: str
) -> Attribution | None:
    if method in gradient_methods():
        return atlas.maps[layer.name, method]
    return perturbation_map(selection, question, layer, method, place)


def pick_method() -> str:
    restore_choice("method", cam_methods(), DEFAULT_METHOD)
    method = st.selectbox(
        "Method", cam_methods(), key="method", format_func=lambda name: METHODS[name].title,
        help="Those of the atlas are arithmetic on the layer's activations and gradients. Score-CAM and Ablation-CAM "
        "run the network once per channel, when you ask for it.",
    )  # fmt: skip
    write_to_url("method", method, DEFAULT_METHOD)
    return method


def pick_other(method: str) -> str | None:
    other = st.selectbox(
        "Minus", ["nothing", *cam_methods()], key="minus", bind="query-params",
        format_func=lambda name: "Nothing" if name == "nothing" else METHODS[name].title,
        help="The difference of two methods at this layer, each map divided by its own largest magnitude first.",
    )  # fmt: skip
    return None if other in ("nothing", method) else other


def pick_atlas(choices: LayerAdvice, shown: Collection[str]) -> tuple[list[str], int, Pooling]:
    layers = pick_atlas_layers(choices, shown)
    slots = st.columns(2)
    window = slots[0].number_input(
        "Window of Seg-XRes-CAM", 1, 1024, 4, key="window", bind="query-params",
        help="Positions of the layer over which a gradient is pooled. 1 is Seg-HiRes-Grad CAM; the layer's size is "
        "Seg-Grad-CAM.",
    )  # fmt: skip
    pooling = slots[1].segmented_control(
        "Pooling", POOLINGS, default="mean", required=True, key="pooling", bind="query-params",
        format_func=str.capitalize,
    )  # fmt: skip
    return layers, int(window), pooling


def advise(choices: LayerAdvice, layer: Layer, shown: Attribution | None, prediction: Prediction) -> None:
    if shown is not None:
        for sentence in cam_warnings(shown, prediction, choices.pointwise):
            st.warning(sentence, icon=":material/warning:")
    if layer.name == choices.suggested:
        st.caption(f":material/lightbulb: **Why this layer?** {choices.reason}")
    else:
        st.button(f"Suggested layer: {choices.suggested}", icon=":material/lightbulb:", key="suggest",
                  on_click=choose, args=(choices.suggested, None), help=choices.reason)  # fmt: skip


def choose(layer: str, method: str | None) -> None:
    st.session_state["layer"] = layer
    if method is not None:
        st.session_state["method"] = method


def numbers_of(shown: Attribution, layer: Layer, question: Question) -> list[Number]:
    raw = shown.signed_map()
    size, stride = size_and_stride(layer)
    of_raw = f"Raw map at the layer's size, in {shown.unit}."
    return [
        Number("Layer", f"{layer.channels} × {size}", "Channels × rows × columns."),
        Number("Stride", stride.removeprefix("stride "), "Image pixels from one position of the layer to the next."),
        Number("Maximum", number(float(raw.max())), of_raw),
        Number("Minimum", number(float(raw.min())), of_raw),
        Number("Sum", number(float(raw.sum(dtype=np.float64))), of_raw),
        Number(
            "Inside the pixels",
            percent(share_inside(shown, question.mask)),
            "Share of the positive map, at the image's size, that lies in the pixels explained.",
        ),
    ]


main()
