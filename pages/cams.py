"""Class activation maps: every layer and every method of one pixel set, from one pass."""

import dataclasses
from pathlib import Path

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.attribution.cam import POOLINGS, Pooling, cam_methods, cam_warnings, gradient_methods
from core.attribution.registry import METHODS
from core.display.figures import FRAME_HEIGHT
from core.models.layers import Layer
from core.pixel_sets import TITLES as PIXEL_SET_TITLES
from core.segmenter import Prediction, Segmenter
from core.target import Reduction, Space
from widgets.cams.atlas import Atlas, Question, ask, atlas_of, draw_atlas
from widgets.cams.layers import LayerAdvice, layer_choices, pick_atlas_layers, pick_layer, size_and_stride
from widgets.cams.maps import (
    SCALES,
    MapView,
    colour_limit,
    normalised_difference,
    overlay_figure,
    share_inside,
    title,
)
from widgets.cams.perturbation import perturbation_map
from widgets.shared.downloads import attribution_downloads
from widgets.shared.header import page_header
from widgets.shared.large_images import agree_to_size
from widgets.shared.links import link, settle_choice
from widgets.shared.navigation import through_the_app
from widgets.shared.pixel_set_picker import draw_pixel_set, pick_pixel_set
from widgets.shared.plots import NO_BAR
from widgets.shared.score import SPACE_NAMES, pick_class_and_space
from widgets.shared.sources import PickedImage, pick_image, pick_model, predicted
from widgets.shared.user_errors import told_plainly

PANEL_WIDTH = 350
DEFAULT_METHOD = "seg_hires_grad_cam"
COLOUR_LIMITS = [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]


def main() -> None:
    page_header(
        "Class activation maps",
        "Where in the network lies what speaks for a class? Every layer by every method at once.",
    )
    with told_plainly():
        with st.sidebar:
            segmenter = pick_model()
            image = pick_image(segmenter)
            class_index, space = pick_class_and_space(segmenter, "logit")
            reduction: Reduction = st.segmented_control(
                "Over the pixels", ["sum", "mean"], default="sum", required=True, key="reduction", bind="query-params",
                format_func=str.capitalize,
                help="The score of the class is added up over the pixels, or averaged: the maps differ by a factor, "
                "but for Grad-CAM++ and Score-CAM, where the score's size counts.",
            )  # fmt: skip
        agree_to_size(segmenter, image)
        prediction = predicted(segmenter, image)
        choices = layer_choices(segmenter, prediction.labels.shape)
        explore(segmenter, image, prediction, choices, class_index, space, reduction)


@st.fragment
@told_plainly()
def explore(
    segmenter: Segmenter, image: PickedImage, prediction: Prediction, choices: LayerAdvice, class_index: int,
    space: Space, reduction: Reduction,
) -> None:  # fmt: skip
    height, width = prediction.labels.shape
    panel_height = int(np.clip(PANEL_WIDTH * height / width, 160, 320))
    lead = st.container()
    slots = st.columns(3, gap="small", vertical_alignment="bottom")
    with slots[0]:
        name = pick_pixel_set(has_truth=image.truth is not None)
    with slots[1]:
        layer = pick_layer(choices, segmenter)
    with slots[2]:
        method = pick_method()
    panels = st.columns(3, gap="small")
    with panels[0]:
        drawn = draw_pixel_set(name, segmenter, image, prediction, class_index, panel_height)
    with panels[2]:
        view, other = pick_view(method)
    atlas_slot = st.container()
    with st.expander("Layers of the atlas, window of Seg-XRes-CAM", icon=":material/tune:"):
        layers, window, pooling = pick_atlas(choices, layer)
    if drawn is None:
        lead.markdown("Explained: nothing yet.")
        panels[1].info(
            "The map comes here, and the atlas below, once there are pixels to explain.", icon=":material/layers:"
        )
        return
    question = ask(*drawn, class_index, space, reduction)
    atlas = atlas_of(segmenter, image, question, layers, window, pooling)
    with lead:
        tell(segmenter, question, layer)
    with panels[1]:
        shown = one_map(segmenter, image, question, atlas, layer, method)
        subtracted = one_map(segmenter, image, question, atlas, layer, other) if other is not None else None
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
    settle_choice("method", cam_methods(), DEFAULT_METHOD)
    method = st.selectbox(
        "Method", cam_methods(), key="method", format_func=lambda name: METHODS[name].title,
        help="Those of the atlas are arithmetic on the layer's activations and gradients. Score-CAM and Ablation-CAM "
        "run the network once per channel, when you ask for it.",
    )  # fmt: skip
    link("method", method, DEFAULT_METHOD)
    return method


def pick_view(method: str) -> tuple[MapView, str | None]:
    slots = st.columns([1.1, 1])
    values = slots[0].segmented_control(
        "Values", ["positive", "signed"], default="positive", required=True, key="values", bind="query-params",
        format_func=str.capitalize,
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
        format_func=lambda name: SCALES[name], width="stretch",
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


def one_map(
    segmenter: Segmenter, image: PickedImage, question: Question, atlas: Atlas, layer: Layer, method: str
) -> Attribution | None:
    if method in gradient_methods():
        return atlas.maps[layer.name, method]
    return perturbation_map(segmenter, image, question.target, question.key, layer, method)


def tell(segmenter: Segmenter, question: Question, layer: Layer) -> None:
    target, chosen, count = question.target, question.pixel_set, int(question.mask.sum())
    score = f"**{segmenter.class_names[target.class_index]}** {SPACE_NAMES[target.space].lower()}"
    if chosen.name == "point":
        score += f" at row **{chosen.row}**, column **{chosen.column}**"
    else:
        where = PIXEL_SET_TITLES[chosen.name]
        pixels = "1 pixel" if count == 1 else f"{count:,} pixels"
        score = f"{target.reduction} of the {score} over **{pixels}** ({where[0].lower()}{where[1:]})"
    st.markdown(f"Explained: the {score}, as seen by **{layer.name}**.")


def draw_map(
    image: PickedImage, atlas: Atlas, shown: Attribution, subtracted: Attribution | None, view: MapView, height: int,
    revision: str,
) -> None:  # fmt: skip
    layer = str(shown.layer)
    if subtracted is None:
        limit = colour_limit(shown, atlas.maps, view)
        values, unit = shown.at_image_size(positive=view.positive), shown.unit
        st.markdown(f"**{title(shown.method, layer)}**")
    else:
        limit = view.proportion
        values = normalised_difference(shown, subtracted, positive=view.positive)
        unit = "difference of the shares of each maximum"
        st.markdown(
            f"**{METHODS[shown.method].title} − {METHODS[subtracted.method].title}**",
            help=f"At {layer}. Each map is divided by its own largest magnitude, then one is taken from the other: red "
            "where the first is stronger, blue where the second is.",
        )
    low = 0.0 if view.positive and subtracted is None else -limit
    figure = overlay_figure(image.values, values, (low, limit), unit, view.opacity, revision)
    st.plotly_chart(figure, height=height + FRAME_HEIGHT, theme=None, config=NO_BAR, key="cam-map")


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
    inside = share_inside(shown, question.mask)
    numbers = {
        "Layer": f"{layer.channels} × {size}",
        "Stride": stride.removeprefix("stride "),
        "Maximum": f"{raw.max():.4g}",
        "Minimum": f"{raw.min():.4g}",
        "Sum": f"{raw.sum(dtype=np.float64):.4g}",
        "Inside the pixels": "none" if np.isnan(inside) else f"{100 * inside:.1f} %",
    }
    helps = {
        "Layer": "Channels × rows × columns.",
        "Stride": "Image pixels from one position of the layer to the next.",
        "Maximum": f"Of the raw map at the layer's size, in {shown.unit}.",
        "Minimum": f"Of the raw map at the layer's size, in {shown.unit}.",
        "Sum": f"Of the raw map at the layer's size, in {shown.unit}.",
        "Inside the pixels": "Share of the positive map, at the image's size, that lies in the pixels explained.",
    }
    for slot, (name, value) in zip(st.columns(len(numbers)), numbers.items(), strict=True):
        slot.metric(name, value, help=helps[name], border=True)


through_the_app()
main()
