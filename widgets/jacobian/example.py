"""The small finished Jacobian that comes with the sample images."""

import streamlit as st

from core.errors import UserError
from core.jacobian import Jacobian
from core.segmenter import Segmenter
from widgets.shared.offered_images import SAMPLES
from widgets.shared.sources import PickedImage
from widgets.shared.stores import open_store

EXAMPLE = SAMPLES / "jacobians" / "phantom_00.zarr"
"""Made by `python -m core jacobian`, see the README of the samples."""
_CHOICES = {"model": "vessmap", "image": "vessels/phantom_00", "scaling": "dtype", "origin": "compute"}


def example_of(segmenter: Segmenter, image: PickedImage) -> Jacobian | None:
    """The example if it is of this network and image."""
    if image.stem != EXAMPLE.stem:  # opening a store takes time
        return None
    try:
        found = open_store(EXAMPLE, segmenter)
    except UserError:  # of another network
        return None
    return found if found.manifest.image_hash == image.hash else None


def example_button() -> None:
    """A button that chooses the network and the image of the example, where there is one."""
    if EXAMPLE.is_dir():
        st.button("Open the example", icon=":material/auto_stories:", key="example", on_click=st.session_state.update,
                  args=(_CHOICES,))  # fmt: skip
