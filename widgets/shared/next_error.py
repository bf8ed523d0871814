"""A button that leads to the next wrong part of the prediction, in this image or the next one with a ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.attribution.attribution import image_hash
from core.compute.progress import Progress
from core.data.images import Scaling, with_channels
from core.errors import UserError
from core.pixel_sets import check_truth
from core.scoring.wrong_parts import wrong_parts
from core.segmenter import Segmenter
from widgets.shared.image_choice import choose_image
from widgets.shared.image_scores import LARGE_PIXELS
from widgets.shared.looked_at import look_at_pixel_set
from widgets.shared.offered_images import OfferedImage, read_offered, read_truth
from widgets.shared.pixel_state import set_pixel_of, shown_pixel
from widgets.shared.predictions import passing_prediction
from widgets.shared.slow_work import compute_in_background

_PLACE = "next error"
_SEARCH = "_next_error_search"
_FOUND = "_next_error_found"


@dataclass(frozen=True)
class FoundError:
    """A wrong part of a prediction.

    Attributes:
        image: Name of the image among those offered.
        file_name: Name of its file.
        size: Its rows and columns.
        row: Row of the pixel deepest inside the part.
        column: Column of that pixel.
        number: Its place among the `wrong_parts` of the image, from 1.
        count: Number of wrong parts of the image.
        words: What is wrong.
    """

    image: str
    file_name: str
    size: tuple[int, int]
    row: int
    column: int
    number: int
    count: int
    words: str

    @property
    def sentence(self) -> str:
        """What it is and where."""
        what = f"{self.words[:1].upper()}{self.words[1:]}"
        return f"{what}, at row {self.row}, column {self.column}; error {self.number} of {self.count} in this image."


@dataclass(frozen=True)
class _Search:
    """What a press of the button asks for: the part `number` of the first image that has so many.

    Where the pixel `shown` is that of the first part, which pages open on, it asks for the second.
    """

    network: tuple[str, str]
    scaling: Scaling
    number: int
    shown: tuple[int, int]
    images: tuple[OfferedImage, ...]


def find_error(search: _Search, segmenter: Segmenter, progress: Progress | None = None) -> FoundError | None:
    """The error searched for: in the first image the one of that number, else the first one in the images after it."""
    for done, image in enumerate(search.images):
        if progress is not None:
            progress(done, len(search.images))
        found = _error_in(image, segmenter, search, is_current=done == 0)
        if found is not None:
            return found
    return None


def next_error_button(segmenter: Segmenter, offered: Sequence[OfferedImage], current: OfferedImage) -> None:
    """The button and, once it was pressed, what was found. Before the widget of the image, whose value it sets."""
    known = [image for image in offered if image.truth is not None]
    if not known or segmenter.prompt is not None:  # a SAM answers about one object of each image
        return
    network = segmenter.weights_hash, str(segmenter.device)
    st.button(
        "Next prediction error", key="next_error", icon=":material/skip_next:", width="stretch",
        on_click=_start, args=(network, known, current.name), disabled=current.truth is None,
        help="This image has no ground truth to compare the prediction with." if current.truth is None else None,
    )  # fmt: skip
    search: _Search | None = st.session_state.get(_SEARCH)
    if search is not None:
        _follow(search, segmenter)
    found: FoundError | None = st.session_state.get(_FOUND)
    shown = st.session_state.get("image") or current.name, *shown_pixel()
    if found is not None and (found.image, found.row, found.column) == shown:
        st.caption(found.sentence)


def forget_errors() -> None:
    """When another image or network is chosen: a search that was started before would lead away from it."""
    st.session_state.pop(_SEARCH, None)
    st.session_state.pop(_FOUND, None)


def _start(network: tuple[str, str], known: Sequence[OfferedImage], first: str) -> None:
    """Search from what is shown at the press; the button may have been drawn before the last error was found."""
    current = st.session_state.get("image") or first
    found: FoundError | None = st.session_state.get(_FOUND)
    number = found.number if found is not None and found.image == current else 0
    scaling: Scaling = st.session_state.get("scaling", "dtype")
    st.session_state[_SEARCH] = _Search(network, scaling, number, shown_pixel(), _from(current, known))


def _follow(search: _Search, segmenter: Segmenter) -> None:
    keys = tuple((image.key, image.truth_key) for image in search.images)
    key = "next error", *search.network, search.scaling, search.number, search.shown, keys
    try:
        # In a tuple, as None stands for a search that is under way.
        found = compute_in_background(
            _PLACE, key, "Images searched", lambda progress: (find_error(search, segmenter, progress),)
        )
    except Exception:
        forget_errors()
        raise
    if found is None:
        return
    forget_errors()
    if found[0] is None:
        st.caption("No error in the images with a ground truth that the network takes.")
        return
    error = st.session_state[_FOUND] = found[0]
    choose_image(error.image)
    set_pixel_of(error.file_name, error.size, error.row, error.column)
    look_at_pixel_set("point")


def _from(current: str, images: Sequence[OfferedImage]) -> tuple[OfferedImage, ...]:
    """The images from the current one on, and those before it after that; the current one once more at the end."""
    names = [image.name for image in images]
    if current not in names:
        return tuple(images)
    start = names.index(current)
    return (*images[start:], *images[: start + 1])


def _error_in(image: OfferedImage, segmenter: Segmenter, search: _Search, *, is_current: bool) -> FoundError | None:
    """The wrong part searched for in the current image, or the first of another one; None where there is none."""
    try:
        # What the page shows may be converted or large; other images are not asked about.
        if not (image.is_convertible(segmenter) if is_current else image.fits(segmenter)):
            return None
        truth = read_truth(image)
        if truth is None or (truth.size > LARGE_PIXELS and not is_current):
            return None
        loaded = read_offered(image, search.scaling)
        values = with_channels(loaded.values, segmenter.in_channels)
        prediction = passing_prediction(segmenter, values, (*search.network, image_hash(values)))
        check_truth(truth, prediction.labels.shape, segmenter.num_classes)
    except UserError:  # an image that does not fit or cannot be read is not what is searched for
        return None
    parts = wrong_parts(prediction.labels, truth)
    number = search.number if is_current else 0
    if is_current and number == 0 and parts and (parts[0].row, parts[0].column) == search.shown:
        number = 1
    if number >= len(parts):
        return None
    part = parts[number]
    size = prediction.labels.shape[0], prediction.labels.shape[1]
    words = part.describe(segmenter.class_names)
    return FoundError(image.name, loaded.name, size, part.row, part.column, number + 1, len(parts), words)
