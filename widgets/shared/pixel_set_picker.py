"""Which pixels are explained: chosen by name, drawn on the picture."""

import numpy as np
import streamlit as st

from core.display.colours import intensity_rgb, mask_over
from core.display.figures import COLOUR_BAR_HEIGHT, FRAME_HEIGHT, picture_figure
from core.errors import UserError
from core.pixel_sets import NEEDS_PIXEL, NEEDS_TRUTH, PIXEL_SETS, TITLES, PixelSet, PixelSetName
from core.segmenter import Prediction, Segmenter
from widgets.shared.pixel_picker import pixel_picker, take_click
from widgets.shared.pixel_state import pixel_inputs, restore_pixel, set_pixel
from widgets.shared.region_picker import Mode, region_picker
from widgets.shared.sources import PickedImage

_INVITATIONS: dict[PixelSetName, str] = {
    "point": ": click a pixel",
    "component": ": click a pixel",
    "box": ": drag a box",
    "lasso": ": draw a lasso",
}


def pick_pixel_set(*, has_truth: bool) -> PixelSetName:
    """The pixel set's name, kept in the URL; those that compare with a ground truth only where there is one."""
    offered = [name for name in PIXEL_SETS if name != "prediction" and (has_truth or name not in NEEDS_TRUTH)]
    return st.selectbox(
        "Pixels explained", offered, key="pixel_set", bind="query-params", format_func=lambda name: TITLES[name],
        help="The score of the class is summed or averaged over these pixels, and the maps explain that.",
    )  # fmt: skip


def draw_pixel_set(
    name: PixelSetName, segmenter: Segmenter, image: PickedImage, prediction: Prediction, class_index: int, height: int
) -> tuple[PixelSet, np.ndarray] | None:
    """Draw the picture with the pixel set on it, and what it needs; the choice and its mask (H, W).

    Returns:
        None where there are no such pixels (yet); the reason is on the page.
    """
    identity = f"{image.hash[:12]}-{segmenter.weights_hash[:12]}"
    restore_pixel(image.name, prediction.labels)
    if name in NEEDS_PIXEL and (clicked := take_click(identity)) is not None:
        set_pixel(*clicked)
    st.markdown(f"**Image**{_INVITATIONS.get(name, ' and the pixels explained')}")
    if name == "box" or name == "lasso":  # noqa: PLR1714 - so that the type checker knows the two
        return _draw_region(name, image, prediction, identity, height)
    picture_slot = st.container()
    choice = _choice(name, prediction.labels.shape)
    try:
        mask = choice.mask(prediction, class_index, image.truth, segmenter.class_names)
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        mask = None
    with picture_slot:
        _draw_mask(choice, mask, intensity_rgb(image.values), identity, height)
    return None if mask is None else (choice, mask)


def _draw_region(
    mode: Mode, image: PickedImage, prediction: Prediction, identity: str, height: int
) -> tuple[PixelSet, np.ndarray] | None:
    try:
        region = region_picker(intensity_rgb(image.values), identity, height, mode)
        if region is None:
            return None
        choice = region.pixel_set
        return choice, choice.mask(prediction)
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        return None


def _draw_mask(choice: PixelSet, mask: np.ndarray | None, base: np.ndarray, identity: str, height: int) -> None:
    picture = base if mask is None else mask_over(base, mask)
    if choice.row is not None and choice.column is not None:
        pixel_picker(picture, choice.row, choice.column, identity, height)
        return
    figure, frame = picture_figure(picture, identity), height + FRAME_HEIGHT - COLOUR_BAR_HEIGHT
    st.plotly_chart(figure, height=frame, theme=None, key="pixel-set", config={"displayModeBar": False})


def _choice(name: PixelSetName, size: tuple[int, ...]) -> PixelSet:
    if name in NEEDS_PIXEL:
        row, column = pixel_inputs(size[0], size[1])
        return PixelSet(name, row, column)
    if name == "border":
        width = st.number_input("Width of the border, in pixels", 1, max(1, min(size)), 1, key="border_width",
                                bind="query-params")  # fmt: skip
        return PixelSet(name, width=int(width))
    return PixelSet(name)
