"""The pixel set whose score is explained: chosen by name, drawn on the picture."""

from collections.abc import Collection, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import streamlit as st

from core.drawn_regions import DrawnPart
from core.errors import UserError
from core.pixel_sets import NEEDS_CLASS, NEEDS_PIXEL, NEEDS_TRUTH, PIXEL_SETS, TITLES, PixelSet, PixelSetName
from core.segmenter import Prediction
from core.target import PREDICTED, Reduction, Target
from widgets.shared.looked_at import look_at_pixel_set
from widgets.shared.pixel_state import restore_pixel
from widgets.shared.sidebar import Selection, score_words
from widgets.shared.user_errors import show_user_error
from widgets.viewer.regions import pixel_set_of, restore_region
from widgets.viewer.scene import Layer, Mask
from widgets.viewer.viewer import Tool

_INVITATIONS: dict[str, str] = {
    "box": "**No box yet**: drag a rectangle over the picture.",
    "lasso": "**No lasso yet**: hold the button down and draw around some pixels.",
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
        names, explained = selection.segmenter.class_names, self.target.score
        score_name = score_words(explained, names, "**")
        if chosen.name == "point":
            return f"{score_name} at row **{chosen.row}**, column **{chosen.column}**"
        where = TITLES[chosen.name] if count else "a check: the maps are 0"
        pixels = "1 pixel" if count == 1 else f"{count:,} pixels"
        score = f"{self.target.reduction} of the {score_name}"
        return f"{score} over **{pixels}** ({where[0].lower()}{where[1:]})"


def pick_pixel_set(*, has_truth: bool, without: Collection[str] = ("prediction",)) -> PixelSetName:
    """Picker for the pixel set, kept in the URL; those that need a ground truth only where there is one."""
    offered = [name for name in PIXEL_SETS if name not in without and (has_truth or name not in NEEDS_TRUTH)]
    return st.selectbox(
        "Pixels explained", offered, key="pixel_set", bind="query-params", format_func=lambda name: TITLES[name],
        help="The score of the class is averaged or added up over these pixels, and the maps explain that.",
    )  # fmt: skip


def pick_reduction() -> Reduction:
    """Picker for how the scores of the pixels are put together, kept in the URL."""
    return st.segmented_control(
        "Over the pixels", ["mean", "sum"], default="mean", required=True, key="over", bind="query-params",
        format_func=str.capitalize,
        help="The score of the class is averaged over the pixels, or added up, as in the formula of Seg-Grad-CAM. The "
        "sum makes a map as many times as large and leaves its picture as it is, but for Grad-CAM++ and Score-CAM, "
        "where the score's size counts.",
    )  # fmt: skip


def question_of(
    name: PixelSetName, selection: Selection, prediction: Prediction, reduction: Reduction = "mean"
) -> Question | None:
    """The score over a pixel set, chosen or drawn in the viewer before, with the set's own inputs.

    Returns:
        None where there are no such pixels (yet), with the reason on the page.
    """
    image = selection.image
    look_at_pixel_set(name)
    pixel = restore_pixel(image, prediction, selection.segmenter.class_names)
    label = int(prediction.labels[pixel])
    at_pixel = name in NEEDS_PIXEL or name in NEEDS_CLASS
    score = selection.score.of_label(label) if at_pixel else selection.score
    try:
        chosen = _choice(name, pixel, prediction.labels.shape, selection.picture_key)
        if chosen is None:
            st.markdown(f":primary[:material/gesture:] {_INVITATIONS[name]}")
            return None
        known = image.truth, selection.segmenter.class_names
        mask = chosen.mask(prediction, max(score.class_index, 0), *known)
        given = prediction, score.class_index, score.space, reduction, *known, score.against
        question = Question(chosen, mask, chosen.target(*given))
    except UserError as error:
        show_user_error(error)
        return None
    if note := selection.contrast_note(label) if at_pixel else _uncontrasted(question, selection):
        st.caption(f":material/info: {note}")
    return question


class InViewer(TypedDict):
    """How a pixel set is chosen in a viewer: keyword arguments of `widgets.viewer.viewer.viewer`."""

    tools: Sequence[Tool]
    pixel: tuple[int, int] | None
    parts: Sequence[DrawnPart]
    has_position: bool
    names_class: bool


def in_viewer(name: PixelSetName, selection: Selection, prediction: Prediction) -> InViewer:
    """The tools that choose this pixel set, and what is chosen so far."""
    if name == "box" or name == "lasso":  # noqa: PLR1714 - so that the type checker knows the two
        parts: Sequence[DrawnPart] = ()
        with suppress(UserError):  # `question_of` shows it
            parts = restore_region(selection.picture_key, name)
        other: Tool = "lasso" if name == "box" else "box"
        return {"tools": (name, other), "pixel": None, "parts": parts, "has_position": False, "names_class": False}
    names_class = name in NEEDS_CLASS and selection.score.class_index == PREDICTED
    pixel = None
    if names_class or name in NEEDS_PIXEL:
        pixel = restore_pixel(selection.image, prediction, selection.segmenter.class_names)
    return {
        "tools": ("point",) if pixel else (), "pixel": pixel, "parts": (), "has_position": pixel is not None,
        "names_class": names_class,
    }  # fmt: skip


def pixel_set_layers(question: Question | None) -> list[Layer]:
    """The pixel set over the image; nothing for a single pixel, which the viewer marks, and for every pixel."""
    if question is None or question.pixel_set.name in ("point", "prediction", "image", "zero"):
        return []
    return [Mask(mask=question.mask)]


def _uncontrasted(question: Question, selection: Selection) -> str:
    """How many pixels are predicted as the class that is subtracted, whose own score counts there; empty for none."""
    target = question.target
    if target.labels is None or target.against is None:
        return ""
    count = int((question.mask & (target.labels == target.against)).sum())
    name = selection.segmenter.class_names[target.against]
    where = "at 1 of these pixels" if count == 1 else f"at {count:,} of these pixels"
    return f"{name} itself is predicted {where}, where its own score counts, without a contrast." if count else ""


def _choice(name: PixelSetName, pixel: tuple[int, int], size: tuple[int, ...], image_key: str) -> PixelSet | None:
    if name == "box" or name == "lasso":  # noqa: PLR1714 - so that the type checker knows the two
        parts = restore_region(image_key, name)
        return pixel_set_of(parts, name) if parts else None
    if name in NEEDS_PIXEL:
        return PixelSet(name, *pixel)
    if name == "border":
        width = st.number_input("Width of the border, in pixels", 1, max(1, min(size)), 1, key="border_width",
                                bind="query-params")  # fmt: skip
        return PixelSet(name, width=int(width))
    return PixelSet(name)
