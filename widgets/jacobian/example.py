"""The small finished Jacobian that comes with the sample images."""

import streamlit as st

from core.display.words import ordinal
from core.errors import UserError
from core.jacobian import Jacobian
from core.segmenter import Segmenter
from widgets.shared.offered_images import SAMPLES
from widgets.shared.pixel_state import IMAGE_OF_PIXEL
from widgets.shared.sidebar import score_words
from widgets.shared.sources import PickedImage
from widgets.shared.stores import open_store

EXAMPLE = SAMPLES / "jacobians" / "phantom_00.zarr"
"""Made by `python -m core jacobian`, see the README of the samples."""
_CHOICES = {"model": "vessmap", "image": "vessels/phantom_00", "scaling": "dtype", "origin": "compute"}
_CHANGED = (*_CHOICES, "class", "against", "row", "column", IMAGE_OF_PIXEL)
_LEFT = "_left_for_example"


def example_of(segmenter: Segmenter, image: PickedImage) -> Jacobian | None:
    """The example if it is of this network and image."""
    if image.stem != EXAMPLE.stem:  # opening a store takes time
        return None
    try:
        found = open_store(EXAMPLE, segmenter)
    except UserError:  # of another network
        return None
    return found if found.manifest.image_hash == image.hash else None


def offer_example() -> None:
    """A button that chooses the network and the image of the example."""
    st.session_state.pop(_LEFT, None)
    if EXAMPLE.is_dir():
        st.button(
            "Open the example", icon=":material/auto_stories:", key="example", on_click=_open,
            help=f"A finished Jacobian of {_CHOICES['model']} on {_CHOICES['image']}, with a way back.",
        )  # fmt: skip


def say_example(segmenter: Segmenter, example: Jacobian) -> None:
    """What the example is."""
    manifest = example.manifest
    score = score_words(manifest.score, segmenter.class_names, "**")
    st.caption(f":material/auto_stories: Shown is a finished example: {score}, every {ordinal(manifest.stride)} pixel")


def offer_way_back() -> None:
    """Where another network or image was left for the example, a button that chooses them again."""
    left = st.session_state.get(_LEFT)
    if left is None:
        return
    names = filter(None, (left.get("image"), left["model"]))  # a model that was just chosen shows its own image
    st.button(
        f"Back to {', '.join(names)}", icon=":material/undo:", key="leave_example", on_click=_go_back,
        help="Model and image were changed for the example.",
    )  # fmt: skip


def _open() -> None:
    st.session_state[_LEFT] = {key: st.session_state[key] for key in _CHANGED if key in st.session_state}
    st.session_state.update(_CHOICES)


def _go_back() -> None:
    st.session_state.update(st.session_state.pop(_LEFT))
