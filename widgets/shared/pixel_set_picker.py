"""The pixel set whose score is explained: chosen by name, drawn on the picture."""

from collections.abc import Collection, Hashable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.display.colours import intensity_rgb, mask_over
from core.display.figures import COLOUR_BAR_HEIGHT, FRAME_HEIGHT, picture_figure
from core.pixel_sets import NEEDS_PIXEL, NEEDS_TRUTH, PIXEL_SETS, TITLES, PixelSet, PixelSetName
from core.segmenter import Prediction
from core.target import Reduction, Target
from widgets.shared.pixel_picker import pixel_picker, take_click
from widgets.shared.pixel_state import pixel_inputs, restore_pixel, set_pixel
from widgets.shared.region_picker import region_picker
from widgets.shared.sidebar import Selection
from widgets.shared.user_errors import show_user_errors

_INVITATIONS: dict[str, str] = {
    "point": ": click a pixel",
    "component": ": click a pixel",
    "box": ": drag a box",
    "lasso": ": draw a lasso",
}


@dataclass(frozen=True, eq=False)
class Question:
    """The score explained and its pixels.

    Attributes:
        pixel_set: How the pixels were chosen.
        mask: These pixels, bool (H, W).
        target: The score over these pixels.
    """

    pixel_set: PixelSet
    mask: np.ndarray
    target: Target

    @property
    def key(self) -> Hashable:
        """The same for the same score."""
        return tuple(sorted(self.target.describe().items()))

    def in_words(self, selection: Selection) -> str:
        """The score and its pixels, as they follow "Explained: the"."""
        chosen, count = self.pixel_set, int(self.mask.sum())
        if chosen.name == "point":
            return f"{selection.score_name} at row **{chosen.row}**, column **{chosen.column}**"
        where = TITLES[chosen.name] if count else "a check: the maps are 0"
        pixels = "1 pixel" if count == 1 else f"{count:,} pixels"
        score = f"{self.target.reduction} of the {selection.score_name}"
        return f"{score} over **{pixels}** ({where[0].lower()}{where[1:]})"


def pick_pixel_set(*, has_truth: bool, without: Collection[str] = ("prediction",)) -> PixelSetName:
    """Picker for the pixel set, kept in the URL; those that need a ground truth only where there is one."""
    offered = [name for name in PIXEL_SETS if name not in without and (has_truth or name not in NEEDS_TRUTH)]
    return st.selectbox(
        "Pixels explained", offered, key="pixel_set", bind="query-params", format_func=lambda name: TITLES[name],
        help="The score of the class is summed or averaged over these pixels, and the maps explain that.",
    )  # fmt: skip


def draw_pixel_set(
    name: PixelSetName, selection: Selection, prediction: Prediction, height: int, reduction: Reduction = "sum",
    base: np.ndarray | None = None,
) -> Question | None:  # fmt: skip
    """Draw the pixel set on `base` (H, W, 3), by default the image, `height` CSS pixels high, and the set's own inputs.

    Returns:
        The score explained; None where there are no such pixels (yet), with the reason on the page.
    """
    image, key = selection.image, selection.picture_key
    restore_pixel(image.name, prediction.labels)
    if name in NEEDS_PIXEL and (clicked := take_click(key)) is not None:
        set_pixel(*clicked)
    st.markdown(f"**Image**{_INVITATIONS.get(name, ' and pixel set')}")
    base = intensity_rgb(image.values) if base is None else base
    picture_slot = st.container()
    choice, question = None, None
    with show_user_errors():
        choice = _choice(name, prediction.labels.shape, base, key, height)
        if choice is not None:
            given = prediction, selection.class_index
            known = image.truth, selection.segmenter.class_names
            mask = choice.mask(*given, *known)
            question = Question(choice, mask, choice.target(*given, selection.space, reduction, *known))
    if choice is not None and name not in ("box", "lasso"):
        picture = base if question is None or name == "prediction" else mask_over(base, question.mask)
        with picture_slot:
            if choice.row is not None and choice.column is not None:
                pixel_picker(picture, choice.row, choice.column, key, height)
            else:
                figure, frame = picture_figure(picture, key), height + FRAME_HEIGHT - COLOUR_BAR_HEIGHT
                st.plotly_chart(figure, height=frame, theme=None, key="pixel-set", config={"displayModeBar": False})
    return question


def _choice(name: PixelSetName, size: tuple[int, ...], base: np.ndarray, key: str, height: int) -> PixelSet | None:
    if name == "box" or name == "lasso":  # noqa: PLR1714 - so that the type checker knows the two
        region = region_picker(base, key, height, name)
        return region.pixel_set if region is not None else None
    if name in NEEDS_PIXEL:
        return PixelSet(name, *pixel_inputs(size[0], size[1]))
    if name == "border":
        width = st.number_input("Width of the border, in pixels", 1, max(1, min(size)), 1, key="border_width",
                                bind="query-params")  # fmt: skip
        return PixelSet(name, width=int(width))
    return PixelSet(name)
