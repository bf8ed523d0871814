"""Class activation maps: every layer and every method of one pixel set, from one pass."""

import dataclasses
from pathlib import Path

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.cam import POOLINGS, LayerAdvice, Pooling, cam_methods, cam_warnings, gradient_methods
from core.attribution.registry import METHODS
from core.display.colours import signed_scale
from core.display.figures import CHART_BUTTONS, FRAME_HEIGHT, map_figure
from core.display.words import percent
from core.models.layers import Layer
from core.segmenter import Prediction
from core.target import Reduction
from widgets.cams.atlas import Atlas, atlas_of, draw_atlas, perturbation_map
from widgets.cams.layers import pick_atlas_layers
from widgets.cams.maps import SCALES, MapView, normalised_difference, scale_of, share_inside
from widgets.shared.downloads import attribution_downloads
from widgets.shared.header import page_header
from widgets.shared.layer_picker import layer_choices, pick_layer, size_and_stride
from widgets.shared.links import restore_choice, write_to_url
from widgets.shared.pixel_set_picker import Question, draw_pixel_set, pick_pixel_set
from widgets.shared.sidebar import Selection, pick_selection
from widgets.shared.sources import PickedImage
from widgets.shared.user_errors import show_user_errors

PANEL_WIDTH = 350
DEFAULT_METHOD = "seg_hires_grad_cam"
COLOUR_LIMITS = [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]


def main() -> None:
    page_header(
        "Class activation maps",
        "Which layers support this class, and where? Every layer by every method at once.",
    )
    with show_user_errors():
        with st.sidebar:
            selection = pick_selection("logit")
            reduction: Reduction = st.segmented_control(
                "Over the pixels", ["sum", "mean"], default="sum", required=True, key="reduction", bind="query-params",
                format_func=str.capitalize,
                help="The score of the class is added up over the pixels, or averaged: the maps differ by a factor, "
                "but for Grad-CAM++ and Score-CAM, where the score's size counts.",
            )  # fmt: skip
        prediction = selection.predict()
        explore(selection, prediction, layer_choices(selection.segmenter, prediction.labels.shape), reduction)


@st.fragment
@show_user_errors()
def explore(selection: Selection, prediction: Prediction, choices: LayerAdvice, reduction: Reduction) -> None:
    image = selection.image
    height, width = prediction.labels.shape
    panel_height = int(np.clip(PANEL_WIDTH * height / width, 160, 320))
    lead = st.container()
    slots = st.columns(3, gap="small", vertical_alignment="bottom")
    with slots[0]:
        name = pick_pixel_set(has_truth=image.truth is not None)
    with slots[1]:
        layer = pick_layer(choices, selection.segmenter)
    with slots[2]:
        method = pick_method()
    panels = st.columns(3, gap="small")
    with panels[0]:
        question = draw_pixel_set(name, selection, prediction, panel_height, reduction)
    with panels[2]:
        view, other = pick_view(method)
    atlas_slot = st.container()
    with st.expander("Layers of the atlas, window of Seg-XRes-CAM", icon=":material/tune:"):
        layers, window, pooling = pick_atlas(choices, layer)
    if question is None:
        lead.markdown("Explained: nothing yet.")
        panels[1].info(
            "The map comes here, and the atlas below, once there are pixels to explain.", icon=":material/layers:"
        )
        return
    atlas = atlas_of(selection, question, layers, window, pooling)
    lead.markdown(f"Explained: the {question.in_words(selection)}, as seen by **{layer.name}**.")

    def map_by(method: str, place: str) -> Attribution | None:
        if method in gradient_methods():
            return atlas.maps[layer.name, method]
        return perturbation_map(selection, question, layer, method, place)

    with panels[1]:
        shown = map_by(method, "cam")
        subtracted = map_by(other, "subtracted cam") if other is not None else None
        if shown is not None and (other is None or subtracted is not None):
            draw_map(image, atlas, shown, subtracted, view, panel_height, f"{image.hash[:12]}-{width}")
    with panels[2]:
        advise(choices, layer, shown, prediction)
    with atlas_slot:
        draw_atlas(choices, atlas, layer, method, view, prediction, choose)
    if shown is not None:
        show_numbers(shown, layer, question)
        parameters = {**shown.parameters, "pixel_set": question.pixel_set.describe()}
        stem = f"{Path(image.name).stem}_{method}_{layer.name}_{question.pixel_set.name}"
        attribution_downloads(dataclasses.replace(shown, parameters=parameters), stem)


def pick_method() -> str:
    restore_choice("method", cam_methods(), DEFAULT_METHOD)
    method = st.selectbox(
        "Method", cam_methods(), key="method", format_func=lambda name: METHODS[name].title,
        help="Those of the atlas are arithmetic on the layer's activations and gradients. Score-CAM and Ablation-CAM "
        "run the network once per channel, when you ask for it.",
    )  # fmt: skip
    write_to_url("method", method, DEFAULT_METHOD)
    return method


def pick_view(method: str) -> tuple[MapView, str | None]:
    slots = st.columns([1.25, 1], gap="xsmall")
    values = slots[0].segmented_control(
        "Values", ["positive", "signed"], default="positive", required=True, key="values", bind="query-params",
        format_func=str.capitalize, wrap=True,
        help="Positive: what speaks for the class, as the papers show it (ReLU, then resized). Signed: what speaks "
        "against it as well, in blue.",
    )  # fmt: skip
    other = slots[1].selectbox(
        "Minus", ["nothing", *cam_methods()], key="minus", bind="query-params",
        format_func=lambda name: "Nothing" if name == "nothing" else METHODS[name].title,
        help="The difference of two methods at this layer, each map divided by its own largest magnitude first.",
    )  # fmt: skip
    scale = st.segmented_control(
        "Colour scale", list(SCALES), default="own", required=True, key="scale", bind="query-params",
        format_func=lambda name: SCALES[name], wrap=True,
        help="Where the scale ends: at the largest value of each map, of all layers by the same method, or of the "
        "whole atlas, so that colours can be compared.",
    )  # fmt: skip
    sliders = st.columns(2, gap="medium")
    opacity = sliders[0].slider("Opacity", 0, 100, 65, 5, format="%d%%", key="map_opacity", bind="query-params") / 100
    limit = sliders[1].select_slider(
        "Colour limit", COLOUR_LIMITS, 1.0, key="map_limit", bind="query-params",
        format_func=lambda value: f"{100 * value:.0f} % of max",
        help="Lower it to see faint maps; what lies beyond is drawn in the end colour.",
    )  # fmt: skip
    return MapView(values == "positive", str(scale), opacity, limit), None if other in ("nothing", method) else other


def pick_atlas(choices: LayerAdvice, layer: Layer) -> tuple[list[str], int, Pooling]:
    layers = pick_atlas_layers(choices, layer.name)
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


def draw_map(
    image: PickedImage, atlas: Atlas, shown: Attribution, subtracted: Attribution | None, view: MapView, height: int,
    revision: str,
) -> None:  # fmt: skip
    if subtracted is None:
        scale = scale_of(shown, atlas.maps, view)
        values, unit = shown.at_image_size(positive=view.positive), shown.unit
        st.markdown(f"**{METHODS[shown.method].title} at {shown.layer}**")
    else:
        scale = signed_scale(view.proportion)
        values = normalised_difference(shown, subtracted, positive=view.positive)
        unit = "difference of the shares of each maximum"
        st.markdown(
            f"**{METHODS[shown.method].title} − {METHODS[subtracted.method].title}**",
            help=f"At {shown.layer}. Each map is divided by its own largest magnitude, then subtracted: red where "
            "the first is stronger, blue where the second is.",
        )
    figure = map_figure(values, unit, scale, revision, image.values, view.opacity)
    st.plotly_chart(figure, height=height + FRAME_HEIGHT, theme=None, config=CHART_BUTTONS, key="cam-map")


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


def show_numbers(shown: Attribution, layer: Layer, question: Question) -> None:
    raw = shown.signed_map()
    size, stride = size_and_stride(layer)
    of_raw = f"Raw map at the layer's size, in {shown.unit}."
    numbers = {
        "Layer": f"{layer.channels} × {size}",
        "Stride": stride.removeprefix("stride "),
        "Maximum": f"{raw.max():.4g}",
        "Minimum": f"{raw.min():.4g}",
        "Sum": f"{raw.sum(dtype=np.float64):.4g}",
        "Inside the pixels": percent(share_inside(shown, question.mask)),
    }
    helps = {
        "Layer": "Channels × rows × columns.",
        "Stride": "Image pixels from one position of the layer to the next.",
        **dict.fromkeys(("Maximum", "Minimum", "Sum"), of_raw),
        "Inside the pixels": "Share of the positive map, at the image's size, that lies in the pixels explained.",
    }
    for slot, (name, value) in zip(st.columns(len(numbers)), numbers.items(), strict=True):
        slot.metric(name, value, help=helps[name], border=True)


main()
