"""The Pixel Explorer: move over a pixel, see why."""

from dataclasses import replace

import streamlit as st

from widgets.pixel_explorer.controls import controls_of
from widgets.pixel_explorer.panels import first_panels, image_panel, map_panel
from widgets.pixel_explorer.pins import PINS, pin_cards
from widgets.pixel_explorer.plain import is_plain, plain_explorer
from widgets.shared.downloads import attribution_downloads
from widgets.shared.explainer import Explainer
from widgets.shared.header import page_header
from widgets.shared.last_map import keep_last
from widgets.shared.pixel_answers import Pixel, learn_in_background
from widgets.shared.pixel_state import look_at_pixel, reason_of_opening, restore_pixel
from widgets.shared.send_pixel import send_pixel
from widgets.shared.sidebar import Selection, pick_selection, side_bar
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.controls import settings_of
from widgets.viewer.scene import Words
from widgets.viewer.viewer import viewer


def main() -> None:
    page_header(
        "Why this pixel?",
        "The map shows what would change this label, not what the network looked at. Move the pointer over the image; "
        "click to pin.",
    )
    with show_user_errors():
        with side_bar() as files:
            selection = pick_selection(files)
        explore(selection)


@st.fragment
@show_user_errors()
def explore(selection: Selection) -> None:
    image = selection.image
    size = image.values.shape[1], image.values.shape[2]
    prediction = selection.predict_in_background()
    if prediction is None:
        viewer("explorer", first_panels(selection), size, selection.picture_key)
        return
    if is_plain():
        plain_explorer(Explainer(selection, prediction, "row", smooth=False), prediction)
        return
    pixel = restore_pixel(image, prediction, selection.segmenter.class_names)
    look_at_pixel(pixel)
    pins = PINS.of(image.name, size)
    controls = controls_of(has_truth=image.truth is not None)
    settings = settings_of(controls)
    explainer = Explainer(selection, prediction, settings["view"], smooth=settings["smooth"])
    attributions = explainer.attributions([pixel, *pins])
    attribution = attributions.get(pixel)
    last = keep_last("explorer", selection.picture_key, attribution)
    viewer(
        "explorer",
        [image_panel(selection, prediction), map_panel(explainer, last, is_old=attribution is None)],
        size,
        selection.picture_key,
        name=image.name,
        controls=controls,
        settings=settings,
        pixel=pixel,
        pins=pin_cards(pins, attributions, explainer, settings),
        live=explainer.live(),
        words=None if attribution is None else with_reason(explainer.words(attribution, settings), pixel),
        recipe=None if attribution is None else explainer.recipe(pixel),
        has_position=True,
        on_pins=lambda chosen: PINS.keep(image.name, chosen),
    )
    send_pixel("pixel_explorer")
    learn_in_background(selection)
    if attribution is not None:
        row, column = pixel
        attribution_downloads(attribution, f"{image.stem}_row{row}_column{column}_{attribution.method}")


def with_reason(words: Words, pixel: Pixel) -> Words:
    reason = reason_of_opening(pixel)
    return replace(words, sentence=f"{words.sentence} Opened here: {reason}.") if reason else words


main()
