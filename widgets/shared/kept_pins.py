"""The pixels pinned in an image."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from widgets.shared.pixel_answers import Pixel
from widgets.viewer.viewer import pins_of


@dataclass(frozen=True)
class KeptPins:
    """The pins of one viewer, those of one image at a time.

    Attributes:
        key: Key in the session state.
        most: How many there are at most; the newest stay.
    """

    key: str
    most: int

    def of(self, place: str, size: tuple[int, int]) -> list[Pixel]:
        """The pins of an image of `size` (height, width), at first those in the address; another image has none.

        Args:
            place: The same while the image is.
            size: Height and width.
        """
        kept = st.session_state.get(self.key)
        if kept is None:
            kept = st.session_state[self.key] = place, pins_of(st.query_params.get("pins", ""))
        if kept[0] != place:
            kept = st.session_state[self.key] = place, []
        inside = dict.fromkeys((row, column) for row, column in kept[1] if row < size[0] and column < size[1])
        return list(inside)[-self.most :]

    def keep(self, place: str, pins: Sequence[Pixel]) -> None:
        """Keep the pins of an image, before the page runs."""
        st.session_state[self.key] = place, list(pins)
