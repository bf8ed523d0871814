"""What a page explains: the whole prediction, a class, a pixel, a box or a lasso, chosen on the picture."""

import streamlit as st

from core.display.colours import intensity_rgb, labels_over
from core.pixel_sets import PixelSet
from core.segmenter import Prediction, Segmenter
from core.target import Space, Target
from widgets.shared.pixel_picker import pixel_picker, take_click
from widgets.shared.pixel_state import pixel_inputs, restore_pixel, set_pixel
from widgets.shared.plots import space_above_picture
from widgets.shared.region_picker import MODES, region_picker
from widgets.shared.sources import PickedImage

EXPLAINED = {"prediction": "Whole prediction", "class": "Class", "point": "Pixel", "box": "Box", "lasso": "Lasso"}
_HELP = (
    "Whole prediction: at every pixel the score of the class predicted there, summed up. Class: the score of the class "
    "at the left over the pixels predicted to be it. Pixel, box, lasso: its score there; choose them on the image."
)
_PREDICTION_OPACITY = 0.35


def pick_explained() -> str:
    """One of `EXPLAINED`, kept in the URL."""
    return str(
        st.segmented_control(
            "Explain", list(EXPLAINED), default="prediction", required=True, key="explain", bind="query-params",
            format_func=lambda name: EXPLAINED[name], help=_HELP, wrap=True,
        )
    )  # fmt: skip


def settle_explained(explained: str, image: PickedImage, prediction: Prediction, key: str) -> None:
    """Take a click on the picture; call it before the widgets that show the pixel."""
    restore_pixel(image.name, prediction.labels)
    if explained == "point" and (clicked := take_click(key)) is not None:
        set_pixel(*clicked)


def explained_target(
    explained: str, segmenter: Segmenter, image: PickedImage, prediction: Prediction, class_index: int, space: Space,
    key: str, height: int,
) -> Target | None:  # fmt: skip
    """Show the picture to choose on and give the target; None while there is nothing chosen yet.

    Raises:
        UserError: The class is not in the prediction, or no pixel lies in the region.
    """
    st.markdown("**Image**" + {"point": ": click a pixel", "box": ": drag a box", "lasso": ": draw"}.get(explained, ""))
    picture = labels_over(intensity_rgb(image.values), prediction.labels, _PREDICTION_OPACITY)
    if explained in MODES:
        region = region_picker(picture, key, height, "box" if explained == "box" else "lasso")
        if region is None:
            return None
        return region.pixel_set.target(prediction, class_index, space, class_names=segmenter.class_names)
    if explained == "point":
        # The numbers first: what they hold is what the crosshair shows.
        slot = st.container()
        row, column = pixel_inputs(*prediction.labels.shape)
        with slot:
            pixel_picker(picture, row, column, key, height)
        return Target.pixel(row, column, class_index, space)
    space_above_picture()
    st.image(intensity_rgb(image.values), width="stretch")
    if explained == "class":
        return PixelSet("class").target(prediction, class_index, space, class_names=segmenter.class_names)
    return Target.prediction(prediction.labels, space)
