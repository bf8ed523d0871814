"""The Pixel Explorer: click a pixel, see why."""

import numpy as np
import streamlit as st

from core.attribution import Attribution, gradient, influence, smoothgrad
from core.display.colours import intensity_rgb, labels_over, magnitude_scale
from core.display.footprint import Footprint, footprint
from core.segmenter import Prediction, Segmenter
from core.target import Target
from widgets.shared.downloads import attribution_downloads
from widgets.shared.header import page_header
from widgets.shared.pixel_map import PROPORTIONS, draw_pixel_map, pick_colour_limit, prediction_sentence, show_numbers
from widgets.shared.pixel_picker import pixel_picker, take_click
from widgets.shared.pixel_state import pixel_inputs, restore_pixel, set_pixel
from widgets.shared.results import results
from widgets.shared.sidebar import SPACE_NAMES, Selection, pick_selection
from widgets.shared.slow_work import compute_in_background
from widgets.shared.sources import PickedImage
from widgets.shared.user_errors import show_user_errors

THRESHOLDS = [float(f"{10**exponent:.2g}") for exponent in np.linspace(-6, 2, 81)]
DIRECTIONS = {"row": "What drives this pixel", "column": "What this pixel drives"}
PANEL_WIDTH = 350


def main() -> None:
    page_header("Why this pixel?", "Click a pixel of the image: its gradient map shows what the network looked at.")
    with show_user_errors():
        with st.sidebar:
            selection = pick_selection()
            words = "The mean gradient over 16 copies of the image with 10 % noise: steadier, and 16 times the work."
            smooth = st.toggle("SmoothGrad", key="smooth", bind="query-params", help=words)
        explore(selection, selection.predict(), smooth=smooth)


@st.fragment
@show_user_errors()
def explore(selection: Selection, prediction: Prediction, *, smooth: bool) -> None:
    segmenter, image, identity = selection.segmenter, selection.image, selection.picture_key
    height, width = prediction.labels.shape
    restore_pixel(image.name, prediction.labels)
    if (clicked := take_click(identity)) is not None:
        set_pixel(*clicked)

    lead = st.container()
    direction, overlay, opacity, (row, column) = pick_view(image, (height, width))
    panels = st.columns(3, gap="small")
    proportion, threshold, colour_proportion, zoomed = pick_threshold()

    base = intensity_rgb(image.values)
    panel_height = int(np.clip(PANEL_WIDTH * height / width, 200, 440))
    with lead:
        attribution = explain(selection, (row, column), direction, smooth=smooth)

    def draw_image() -> None:
        with panels[0]:
            st.markdown("**Image**: click a pixel", help="Drag a rectangle to zoom in, double-click to zoom out.")
            picture = overlaid(base, prediction, image.truth, selection.class_index, overlay, opacity)
            pixel_picker(picture, row, column, identity, panel_height)

    if attribution is None:
        draw_image()
        return
    remaining = footprint(attribution.magnitude(), proportion, threshold)
    # The map first: the click was for it, and what is drawn earlier here is on screen earlier.
    title = {"influence": "Influence map", "smoothgrad": "SmoothGrad map"}.get(attribution.method, "Gradient map")
    draw_pixel_map(
        panels[1:], title, attribution, remaining, image.values, (row, column), panel_height,
        f"{identity}-{direction}", colour_proportion=colour_proportion, zoomed=zoomed,
    )  # fmt: skip
    with lead:
        show_sentence(segmenter, attribution, remaining, prediction, (row, column))
    draw_image()
    show_numbers(segmenter, attribution, prediction, remaining, (row, column))
    stem = image.name.rsplit(".", 1)[0]
    attribution_downloads(attribution, f"{stem}_row{row}_column{column}_{attribution.method}")


def pick_view(image: PickedImage, size: tuple[int, int]) -> tuple[str, str, float, tuple[int, int]]:
    slots = st.columns([3.22, 3.3, 0.95, 1.55], gap="xsmall", vertical_alignment="bottom")
    direction = slots[0].segmented_control(
        "Question", list(DIRECTIONS), default="row", required=True, key="view", bind="query-params",
        format_func=lambda name: DIRECTIONS[name], wrap=True,
        help="What drives this pixel: the gradient of its score, one row of the Jacobian. What this pixel drives: "
        "every output score that this input pixel moves, one column.",
    )  # fmt: skip
    overlays = ["image", "prediction", "probability"] + (["truth"] if image.truth is not None else [])
    overlay = slots[1].segmented_control(
        "Overlay", overlays, default="prediction", required=True, key="overlay", bind="query-params",
        format_func=lambda name: "None" if name == "image" else name.capitalize(), wrap=True,
    )  # fmt: skip
    opacity = slots[2].slider("Opacity", 0, 100, 40, 5, format="%d%%", key="opacity", bind="query-params") / 100
    with slots[3]:
        pixel = pixel_inputs(*size)
    return str(direction), str(overlay), opacity, pixel


def pick_threshold() -> tuple[float | None, float | None, float, bool]:
    slots = st.columns([3.4, 4.2, 2.6, 1.6], vertical_alignment="bottom")
    relative = slots[0].segmented_control(
        "Threshold", ["relative", "absolute"], default="relative", required=True, key="threshold_of",
        bind="query-params", format_func=str.capitalize, wrap=True,
        help="Relative to the largest magnitude of this map, or a value in its unit, the same for every pixel.",
    ) == "relative"  # fmt: skip
    if relative:
        proportion = slots[1].select_slider(
            "Proportion of the maximum", PROPORTIONS, 0.01, key="threshold", bind="query-params",
            format_func=lambda value: f"{100 * value:g} %",
        )  # fmt: skip
    else:
        threshold = slots[1].select_slider(
            "Magnitude", THRESHOLDS, 1e-3, key="absolute", bind="query-params",
            format_func=lambda value: f"{value:.2g}",
        )  # fmt: skip
    limit = pick_colour_limit(slots[2])
    zoomed = slots[3].toggle(
        "Zoom in", value=True, key="zoom", bind="query-params", help="Show the box of what exceeds 1 % of the maximum."
    )
    return (proportion, None, limit, zoomed) if relative else (None, threshold, limit, zoomed)


def explain(selection: Selection, pixel: tuple[int, int], direction: str, *, smooth: bool) -> Attribution | None:
    given, score = (selection.segmenter, selection.image.values), (selection.class_index, selection.space)
    target = Target.pixel(*pixel, *score)
    if smooth and direction == "row":
        key = "smoothgrad", *selection.key, pixel, *score
        return compute_in_background(
            "smoothgrad",
            key,
            "SmoothGrad, noisy copies",
            lambda progress: smoothgrad(*given, target, progress=progress),
        )
    return results().get_or_compute(
        (direction, *selection.key, pixel, *score),
        lambda: influence(*given, *pixel, *score) if direction == "column" else gradient(*given, target),
    )


def overlaid(
    base: np.ndarray, prediction: Prediction, truth: np.ndarray | None, class_index: int, overlay: str, opacity: float
) -> np.ndarray:
    if overlay == "prediction":
        return labels_over(base, prediction.labels, opacity)
    if overlay == "probability":
        return magnitude_scale(1.0).over(base, prediction.probabilities[class_index], opacity)
    if overlay == "truth" and truth is not None:
        return labels_over(base, truth, opacity)
    return base


def show_sentence(
    segmenter: Segmenter, attribution: Attribution, remaining: Footprint, prediction: Prediction, pixel: tuple[int, int]
) -> None:
    target, names = attribution.target, segmenter.class_names
    sentence = prediction_sentence(segmenter, prediction, pixel)
    if not attribution.values.any():
        sentence += "The map is 0 to float precision: this score does not move with the image here"
        sentence += ", perhaps because the probability is saturated." if target.space == "probability" else "."
    elif remaining.box is None:
        sentence += "No pixel lies above the threshold; lower it."
    else:
        score = f"{names[target.class_index]} {SPACE_NAMES[target.space].lower()}"
        pixels = f"**{remaining.count}** pixels, within {remaining.box.height} × {remaining.box.width},"
        if attribution.method == "influence":
            sentence += f"It moves the {score} of {pixels} by more than the threshold."
        else:
            sentence += f"{pixels} move its {score} by more than the threshold."
    st.markdown(sentence)


main()
