"""The Jacobian: every pixel's gradient map at once, and their summaries."""

from pathlib import Path

import numpy as np
import streamlit as st

from core.attribution import Attribution
from core.display.colours import intensity_rgb
from core.display.footprint import footprint
from core.jacobian import Jacobian
from core.segmenter import Prediction, Segmenter
from widgets.jacobian.maps import PICTURES, UNITS, View, map_bar, map_picture, pick_view
from widgets.jacobian.open import open_card, pick_folder
from widgets.jacobian.panels import boxes_panel, receptive_field_panel, store_panel, vessels_panel
from widgets.jacobian.row import is_stored, row_of, show_answer
from widgets.jacobian.run import run_card
from widgets.shared.downloads import attribution_downloads
from widgets.shared.header import page_header
from widgets.shared.model_picker import pick_model
from widgets.shared.pixel_map import draw_pixel_map, show_numbers
from widgets.shared.pixel_picker import pixel_picker, take_click
from widgets.shared.pixel_state import restore_pixel, set_pixel
from widgets.shared.sidebar import pick_class_and_space
from widgets.shared.sources import PickedImage, pick_image, predicted
from widgets.shared.user_errors import show_user_errors

PANEL_WIDTH = 350
SECONDS_BETWEEN_PICTURES = 2.0
PANELS = ("Receptive field", "Boxes", "Vessels", "Store and downloads")
INVITATION = """
**How many input pixels influence each output pixel, where are they, and how far away?**

The Jacobian holds the gradient map of *every* pixel. It gives
- the **threshold map**: the number of input pixels whose gradient exceeds a threshold, for each output pixel,
- the **bounding box** of those pixels, its area and its filled share,
- the **effective receptive field** beside the structural one,
- and any pixel's gradient map, by a click.

Output pixels whose receptive fields do not meet share a backward pass, so it takes far fewer passes than pixels and is
still exact. The coarse grid comes first: a picture of the whole image appears soon after **Run**, and becomes finer
while you look. The run continues if you leave the page, and can be cancelled and resumed.
"""


def main() -> None:
    page_header("The whole Jacobian", "Every pixel's gradient map at once: which inputs influence it, how far away.")
    with show_user_errors():
        with st.sidebar:
            segmenter = pick_model()
            image = pick_image(segmenter)
            origin = st.segmented_control(
                "Jacobian", ["compute", "open"], default="compute", required=True, key="origin", bind="query-params",
                format_func=lambda name: {"compute": "Compute", "open": "Open a store"}[name],
            )  # fmt: skip
            if origin == "compute":
                class_index, space = pick_class_and_space(segmenter)
            folder = pick_folder()
        if origin == "compute":
            found, live = run_card(segmenter, image, class_index, space, folder)
        else:
            live = False
            found, image = open_card(segmenter, image, folder)
        if found is None:
            invite(image)
        else:
            prediction = predicted(segmenter, image)
            every = SECONDS_BETWEEN_PICTURES if live else None
            st.fragment(explore, run_every=every)(segmenter, found, image, prediction, live=live)


def invite(image: PickedImage) -> None:
    slots = st.columns([1, 2], gap="medium")
    with slots[0]:
        st.markdown(f"**{image.name}**")
        st.image(intensity_rgb(image.values), width="stretch")
    slots[1].markdown(INVITATION)


def explore(
    segmenter: Segmenter, jacobian: Jacobian, image: PickedImage, prediction: Prediction, *, live: bool
) -> None:
    with show_user_errors():
        identity = f"jacobian-{image.hash[:12]}-{segmenter.weights_hash[:12]}"
        restore_pixel(image.name, prediction.labels)
        if (clicked := take_click(identity)) is not None:
            set_pixel(*clicked)
        lead = st.container()
        view, pixel = pick_view(jacobian, live=live, has_truth=image.truth is not None)
        rows, columns = jacobian.size
        height = int(np.clip(PANEL_WIDTH * rows / columns, 200, 440))
        panels = st.columns(3, gap="small")
        with panels[0]:
            show_picture(jacobian, image, view, pixel, identity, height)
        attribution = row_of(segmenter, jacobian, pixel)
        threshold = jacobian.threshold(view.threshold)
        remaining = footprint(attribution.magnitude(), threshold=threshold)
        with lead:
            show_answer(segmenter, attribution, prediction, remaining, pixel, stored=is_stored(jacobian, pixel))
        draw_pixel_map(
            panels[1:], "Its row", attribution, remaining, image.values, pixel, height, identity,
            colour_proportion=view.colour_limit, zoomed=view.zoomed,
        )  # fmt: skip
        largest = jacobian.maximum(view.threshold.definition)
        proportion = remaining.threshold / largest if largest else 0.0
        of_what = f"{100 * proportion:.3g} % of the largest gradient of all rows"
        show_numbers(segmenter, attribution, prediction, remaining, pixel, of_what)
        show_panels(jacobian, image, view, attribution, pixel, height)


def show_picture(
    jacobian: Jacobian, image: PickedImage, view: View, pixel: tuple[int, int], identity: str, height: int
) -> None:
    sampled = view.picture in UNITS and jacobian.manifest.stride > 1
    st.markdown(
        f"**{PICTURES[view.picture]}**: click a pixel",
        help="Drag a rectangle to zoom in, double-click to zoom out."
        + (" Between the sampled pixels the value of the nearest one is shown." if sampled else ""),
    )
    with st.container(gap=None):
        pixel_picker(map_picture(jacobian, view, image.values, image.truth), *pixel, identity, height)
        map_bar(jacobian, view)


def show_panels(
    jacobian: Jacobian, image: PickedImage, view: View, attribution: Attribution, pixel: tuple[int, int], height: int
) -> None:
    field, boxes, vessels, store = st.tabs(PANELS, key="panel", on_change="rerun", bind="query-params")
    if field.open:
        with field:
            receptive_field_panel(jacobian, image, pixel, height)
    if boxes.open:
        with boxes:
            boxes_panel(jacobian, view, pixel, height)
    if vessels.open:
        with vessels:
            vessels_panel(jacobian, image, view)
    if store.open:
        with store:
            store_panel(jacobian, image, view)
            st.markdown(f"Row {pixel[0]}, column {pixel[1]}: its gradient map")
            attribution_downloads(attribution, f"{Path(image.name).stem}_row{pixel[0]}_column{pixel[1]}_jacobian")


main()
