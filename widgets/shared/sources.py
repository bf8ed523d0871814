"""The picker for the image, and what the network does with it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution.attribution import image_hash
from core.data.images import SUFFIXES, LoadedImage, Scaling, with_channels
from core.errors import UserError
from core.segmenter import Prediction, Segmenter
from widgets.shared.gallery import gallery
from widgets.shared.image_choice import choose_image, chosen_image
from widgets.shared.image_scores import ImageScores
from widgets.shared.links import value_in_url
from widgets.shared.next_error import forget_errors, next_error_button
from widgets.shared.offered_images import (
    YOURS,
    OfferedImage,
    first_that_fits,
    in_groups,
    is_convertible,
    offered_images,
    read_offered,
    read_truth,
)
from widgets.shared.pixel_state import IMAGE_OF_PIXEL
from widgets.shared.predictions import get_prediction, prediction_key
from widgets.shared.results import results
from widgets.shared.uploads import upload_images, upload_truth
from widgets.shared.user_errors import SolvableError, say, show_said, unknown_name

_TRIALS = 3
_MODEL_OF_IMAGE = "_model_of_image"
# The gallery shows the image and chooses it; this input binds the choice to the URL.
_STYLE = "<style>.st-key-image_in_url {display: none}</style>"


@dataclass(frozen=True, eq=False)
class PickedImage:
    """An image and what is known about it.

    Attributes:
        values: float32 (C, H, W) in [0, 1], with the channels that the network takes.
        truth: int64 (H, W), the ground truth; None where there is none.
        name: Name on screen.
        notes: How the file was read.
        hash: Hash of the values.
        file: What a script reads it from: its path, or the name of an upload; empty where there is no file of it.
        truth_file: The same of the ground truth.
        scaling: How its intensities were scaled.
        is_converted: Whether it was converted to the network's number of channels.
    """

    values: np.ndarray
    truth: np.ndarray | None
    name: str
    notes: tuple[str, ...]
    hash: str
    file: str = ""
    truth_file: str = ""
    scaling: Scaling = "dtype"
    is_converted: bool = False

    @property
    def stem(self) -> str:
        """Its name without the suffix, for the names of files made from it."""
        return Path(self.name).stem


def pick_image(segmenter: Segmenter, files: DeltaGenerator | None = None) -> PickedImage:
    """An upload, an image of a folder or a sample, chosen in the side bar; the choice is in the URL.

    Args:
        segmenter: The network.
        files: Place for the uploads and for how a file is read; None for under the image.

    Raises:
        UserError: The image cannot be read, or the network does not take it; it comes with ways out.
    """
    groups = in_groups(offered_images().values(), segmenter).values()
    offered = {image.name: image for images in groups for image in images}
    first = first_that_fits(offered.values(), segmenter).name
    _change_image_with_model(offered, segmenter, first)
    shown = _leave_unknown_image(offered, first)
    with st.container(gap="xxsmall"):
        card = st.container(gap=None)
        next_error_button(segmenter, list(offered.values()), offered[shown])
    with card, st.container(key="image_in_url"):
        st.html(_STYLE)
        choice = chosen_image()
    if choice not in offered:  # none yet, or what a link names: its first value comes from there in spite of the state
        choice = first
    image, files = offered[choice], files or st.container()
    description = files.container()  # first, so that an 800 pixel high window shows it
    with files:
        upload_images()
        if image.group == YOURS:
            upload_truth(choice)
        scaling: Scaling = st.segmented_control(
            "Intensity",
            ["dtype", "percentile"],
            default="dtype",
            required=True,
            key="scaling",
            bind="query-params",
            format_func=lambda name: {"dtype": "Full range", "percentile": "Percentiles"}[name],
            help="Full range divides by the largest value of the file's type. Percentiles stretch the values between "
            "the 0.5th and the 99.5th percentile, for dim images.",
        )
    scores = ImageScores(segmenter, scaling)
    others = partial(
        gallery, segmenter, scores, {name: one for name, one in offered.items() if one is not image}, choice,
        is_open=True,
    )  # fmt: skip
    picked = None
    try:
        with files:
            picked = _read(image, scaling, segmenter, others)
    finally:  # an image that does not fit is left by a click on another one
        with card:
            gallery(segmenter, scores, offered, choice, picked.hash if picked else "")
    segmenter.findings((picked.values.shape[1], picked.values.shape[2]))
    description.caption(
        f"{picked.values.shape[1]} × {picked.values.shape[2]} pixels (rows × columns), "
        + "; ".join(picked.notes).replace(" … ", "\N{NO-BREAK SPACE}…\N{NO-BREAK SPACE}")  # a range stays on one line
    )
    return picked


def predicted(segmenter: Segmenter, image: PickedImage) -> Prediction:
    """The network's prediction for the image, kept for all pages."""
    return get_prediction(segmenter, image.values, prediction_key(segmenter, image.hash))


def seconds_per_image(segmenter: Segmenter, image: PickedImage) -> float:
    """Time in which the network predicts one image, measured once per model and size."""

    def timed() -> float:
        started = time.perf_counter()
        segmenter.predict(image.values)
        return time.perf_counter() - started

    key = "seconds of a run", segmenter.weights_hash, str(segmenter.device), image.values.shape
    return results().get_or_compute(key, lambda: min(timed() for _ in range(_TRIALS)))


def _leave_unknown_image(offered: Mapping[str, OfferedImage], first: str) -> str:
    """Before the picker: the image that it will show, `first` instead of one that is not offered.

    A sentence names one that comes from a link.
    """
    from_link = value_in_url("image")
    if from_link and from_link not in offered:
        is_file = Path(from_link).suffix.lower() in SUFFIXES
        missing = f"{from_link} is not here; upload the file again."
        say("unknown image", [missing if is_file else unknown_name("image", from_link, offered)])
    name = from_link or st.session_state.get("image") or first
    if name not in offered:
        st.session_state[IMAGE_OF_PIXEL] = name, None  # the row and column beside it are not of `first`
        name = first
        choose_image(first)
    show_said("unknown image", name)
    return name


def _change_image_with_model(offered: Mapping[str, OfferedImage], segmenter: Segmenter, first: str) -> None:
    """After another model is chosen, an image that it cannot take gives way to `first`; an upload stays."""
    previous = st.session_state.get(_MODEL_OF_IMAGE)
    st.session_state[_MODEL_OF_IMAGE] = weights_hash = segmenter.weights_hash
    shown = offered.get(st.session_state.get("image", ""))
    if previous in (None, weights_hash):
        return
    forget_errors()
    if shown is not None and shown.group != YOURS and not shown.fits(segmenter):
        choose_image(first)


def _read(image: OfferedImage, scaling: Scaling, segmenter: Segmenter, others: Callable[[], None]) -> PickedImage:
    """The image as the network takes it, with its ground truth."""
    try:
        with st.spinner("Reading the image…"):
            loaded = read_offered(image, scaling)
    except UserError as error:
        raise SolvableError(str(error), others) from error
    values, notes = _fitted(loaded, segmenter, others)
    truth = None
    try:
        is_of_other_things = image.is_sample and segmenter.prompt is not None  # than the object at the point
        truth = None if is_of_other_things else read_truth(image)
        if truth is not None and truth.shape != values.shape[1:]:
            raise UserError(
                f"The ground truth of {loaded.name} is {truth.shape[0]}×{truth.shape[1]} pixels, the image "
                f"{values.shape[1]}×{values.shape[2]}; it is left out."
            )
    except UserError as error:
        truth = None
        st.warning(str(error), icon=":material/warning:")
    return PickedImage(
        values, truth, loaded.name, notes, image_hash(values), image.address, image.truth_address, scaling,
        is_converted=len(values) != len(loaded.values),
    )  # fmt: skip


def _fitted(
    loaded: LoadedImage, segmenter: Segmenter, others: Callable[[], None]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The image with the network's number of channels, converted only if the user chooses that."""
    channels = loaded.values.shape[0]
    if channels == segmenter.in_channels:
        return loaded.values, loaded.notes
    wanted = "grey" if segmenter.in_channels == 1 else f"{segmenter.in_channels} channels"
    plural = "" if channels == 1 else "s"
    mismatch = (
        f"{loaded.name} has {channels} channel{plural} and the model {segmenter.name} takes {segmenter.in_channels}"
    )
    if not is_convertible(channels, segmenter):
        raise SolvableError(f"{mismatch}; choose another image or another model.", others)
    if st.toggle(f"Convert to {wanted}", key="convert", bind="query-params"):
        return with_channels(loaded.values, segmenter.in_channels), (*loaded.notes, f"converted to {wanted}")

    def solve() -> None:
        st.button(
            f"Convert to {wanted}", key="convert_here", icon=":material/contrast:", type="primary", on_click=_convert
        )
        others()

    raise SolvableError(f"{mismatch}; convert it, or choose another image.", solve)


def _convert() -> None:
    st.session_state["convert"] = True
