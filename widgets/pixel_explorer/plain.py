"""The Pixel Explorer in plain pictures, for a browser in which the viewer cannot run: a click runs the page."""

import numpy as np
import streamlit as st

from core.display.colours import colour_limit, intensity_rgb, labels_over, signed_scale
from core.display.figures import MODE_BAR_HEIGHT, mark_pixel, picture_figure
from core.segmenter import Prediction
from widgets.shared.chart_clicks import clickable_chart, take_click
from widgets.shared.explainer import Explainer
from widgets.shared.pixel_state import restore_pixel, set_pixel

_OPACITY = 0.4
_SETTINGS = {"threshold_of": "relative", "threshold": 0.01}
_LIMIT = 0.1
_HEIGHT = 380


def is_plain() -> bool:
    """Whether the address asks for plain pictures, as the viewer's own message offers."""
    return st.query_params.get("viewer") == "plain"


def plain_explorer(explainer: Explainer, prediction: Prediction) -> None:
    """The image to click, the pixel's gradient map and its numbers, with the default settings."""
    selection = explainer.selection
    image, key = selection.image, f"plain-{selection.picture_key}"
    if (clicked := take_click(key)) is not None:
        set_pixel(*clicked)
    pixel = restore_pixel(image, prediction, selection.segmenter.class_names)
    attribution = explainer.attributions([pixel]).get(pixel)
    left, right = st.columns(2)
    with left:
        picture = labels_over(intensity_rgb(image.values), prediction.labels, _OPACITY)
        height = int(np.clip(_HEIGHT * picture.shape[0] / picture.shape[1], 120, 600)) + MODE_BAR_HEIGHT
        clickable_chart(mark_pixel(picture_figure(picture, key), *pixel), None, pixel, key, height)
    if attribution is None:
        return
    signed, limit = attribution.signed_map(), colour_limit(attribution.magnitude(), proportion=_LIMIT)
    right.image(signed_scale(limit).rgb(signed), width="stretch")
    words = explainer.words(attribution, _SETTINGS)
    row, column = pixel
    st.markdown(f"**{' · '.join([f'Row {row}, column {column}', *(chip.text for chip in words.chips)])}**")
    st.markdown(words.sentence)
    st.table({name.title(): [getattr(number, name) for number in words.numbers] for name in ("name", "value")})
