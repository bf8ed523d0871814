"""The Jacobian: every pixel's gradient map at once, and their summaries."""

import streamlit as st

from core.attribution import Attribution
from core.attribution.windowed import MapWindow
from core.jacobian import Jacobian
from core.segmenter import Prediction, Segmenter
from widgets.jacobian.controls import LARGE_RANGE, View, controls_of
from widgets.jacobian.first import first_controls, first_panels
from widgets.jacobian.open import open_card, pick_folder
from widgets.jacobian.panels import boxes_panel, picture_panel, receptive_field_panel, row_panels, store_panel
from widgets.jacobian.row import Rows
from widgets.jacobian.run import Outcome, run_card
from widgets.jacobian.vessels import take_vessel_click, vessels_panel
from widgets.shared.downloads import attribution_downloads
from widgets.shared.explainer import Explainer
from widgets.shared.header import page_header
from widgets.shared.last_map import keep_last
from widgets.shared.links import write_to_url
from widgets.shared.pixel_answers import Pixel, learn_in_background
from widgets.shared.pixel_state import look_at_pixel, restore_pixel
from widgets.shared.recipes import jacobian_recipe
from widgets.shared.send_pixel import send_pixel
from widgets.shared.sidebar import Selection, pick_model_and_image, pick_score, side_bar
from widgets.shared.sources import PickedImage, predicted
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.controls import settings_of
from widgets.viewer.viewer import viewer

SECONDS_BETWEEN_PICTURES = 2.0
PANELS = ("Receptive field", "Boxes", "Vessels", "Files and downloads")


def main() -> None:
    page_header(
        "The whole Jacobian", "How many input pixels influence each output pixel, which ones, and how far away?"
    )
    with show_user_errors():
        with side_bar() as files:
            segmenter, image = pick_model_and_image(files)
            scored = st.container(gap="xxsmall")
            origin = st.segmented_control(
                "Jacobian", ["compute", "open"], default="compute", required=True, key="origin", bind="query-params",
                format_func=lambda name: {"compute": "Compute", "open": "Open saved"}[name],
            )  # fmt: skip
            if origin == "compute":
                with scored:
                    score = pick_score(segmenter)
            folder = pick_folder()
        if origin == "compute":
            write_to_url("store", "", "")  # the next time the newest is opened first
            run = run_card(segmenter, image, score, folder)
            found, live = run.jacobian, run.is_running
            if found is None:
                look_first(Selection(segmenter, image, score), run)
        else:
            live = False
            found, image = open_card(segmenter, image, folder)
        if found is not None:
            prediction = predicted(segmenter, image)
            every = SECONDS_BETWEEN_PICTURES if live else None
            st.fragment(explore, run_every=every)(segmenter, found, image, prediction, live=live)


@st.fragment
@show_user_errors()
def look_first(selection: Selection, run: Outcome) -> None:
    """The gradient map of one pixel, while there is no Jacobian."""
    image, prediction = selection.image, selection.predict_in_background()
    size = image.values.shape[1], image.values.shape[2]
    if prediction is None:
        viewer("jacobian", first_panels(selection, run.outlook), size, selection.picture_key)
        return
    pixel = restore_pixel(image, prediction, selection.segmenter.class_names)
    look_at_pixel(pixel)
    controls = first_controls(has_truth=image.truth is not None)
    settings = settings_of(controls)
    explainer = Explainer(selection, prediction, "row", smooth=False)
    attribution = explainer.attributions([pixel]).get(pixel)
    last = keep_last("jacobian", selection.picture_key, attribution)
    viewer(
        "jacobian",
        first_panels(selection, run.outlook, explainer, last, is_old=attribution is None),
        size,
        selection.picture_key,
        name=image.name,
        controls=controls,
        settings=settings,
        pixel=pixel,
        live=explainer.live(),
        words=None if attribution is None else explainer.words(attribution, settings),
        recipe=None if attribution is None else explainer.recipe(pixel),
        has_position=True,
    )
    send_pixel("jacobian")
    if run.is_estimated:  # which traces the receptive field as well
        learn_in_background(selection)


def explore(
    segmenter: Segmenter, jacobian: Jacobian, image: PickedImage, prediction: Prediction, *, live: bool
) -> None:
    with show_user_errors():
        selection = Selection(segmenter, image, jacobian.manifest.score)
        pixel = take_vessel_click(selection) or restore_pixel(image, prediction, selection.segmenter.class_names)
        look_at_pixel(pixel)
        field = jacobian.field
        controls = controls_of(
            has_rows=jacobian.manifest.keep_rows and not live,
            has_truth=image.truth is not None,
            has_large_range=(field.up + field.down + 1) * (field.left + field.right + 1) > LARGE_RANGE,
        )
        settings = settings_of(controls)
        view = View.of(settings)
        rows = Rows(selection, prediction, jacobian, view)
        attribution = rows.attribution(pixel)
        viewer(
            "jacobian",
            [picture_panel(selection, jacobian, view), *row_panels(selection, rows, attribution)],
            jacobian.size,
            selection.picture_key,
            name=image.name,
            controls=controls,
            settings=settings,
            pixel=pixel,
            live=rows.live(),
            words=rows.words(MapWindow(attribution.values, 0, 0), pixel, settings),
            recipe=jacobian_recipe(selection, jacobian.manifest.stride, keeps_rows=jacobian.manifest.keep_rows)
            if image.file
            else None,
            has_position=True,
        )
        send_pixel("jacobian")
        learn_in_background(selection)
        show_panels(selection, jacobian, view, attribution, pixel)


def show_panels(selection: Selection, jacobian: Jacobian, view: View, attribution: Attribution, pixel: Pixel) -> None:
    field, boxes, vessels, files = st.tabs(PANELS, key="panel", on_change="rerun", bind="query-params")
    if field.open:
        with field:
            receptive_field_panel(selection, jacobian, pixel)
    if boxes.open:
        with boxes:
            boxes_panel(selection, jacobian, view, pixel)
    if vessels.open:
        with vessels:
            vessels_panel(selection, jacobian, view, pixel)
    if files.open:
        with files:
            store_panel(jacobian, selection.image, view)
            st.markdown(f"Row {pixel[0]}, column {pixel[1]}: its gradient map")
            stem = f"{selection.image.stem}_row{pixel[0]}_column{pixel[1]}_jacobian"
            attribution_downloads(attribution, stem)


main()
