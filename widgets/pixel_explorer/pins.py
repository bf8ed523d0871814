"""Pinned pixels: kept in the browser tab and in the address, shown side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.attribution import Attribution
from widgets.pixel_explorer.panels import map_layer
from widgets.shared.explainer import Explainer
from widgets.shared.pixel_answers import Pixel
from widgets.viewer.scene import Pin
from widgets.viewer.viewer import pins_of

MOST_PINS = 8
_KEPT = "_pins"
_NUMBERS = ("Maximum", "Maximum norm", "Pixels above", "Within 16 px")


def kept_pins(image: str, size: tuple[int, int]) -> list[Pixel]:
    """The pins of an image of `size` (height, width), at first those in the address; another image has none."""
    kept = st.session_state.get(_KEPT)
    if kept is None:
        kept = st.session_state[_KEPT] = image, pins_of(st.query_params.get("pins", ""))
    if kept[0] != image:
        kept = st.session_state[_KEPT] = image, []
    inside = dict.fromkeys((row, column) for row, column in kept[1] if row < size[0] and column < size[1])
    return list(inside)[-MOST_PINS:]


def keep_pins(image: str, pins: Sequence[Pixel]) -> None:
    """Keep the pins of an image, before the page runs."""
    st.session_state[_KEPT] = image, list(pins)


def pin_cards(
    pins: Sequence[Pixel],
    attributions: Mapping[Pixel, Attribution],
    explainer: Explainer,
    settings: Mapping[str, Any],
) -> list[Pin]:
    """The pins with their maps and a few numbers."""
    cards = []
    for row, column in pins:
        attribution = attributions.get((row, column))
        numbers = () if attribution is None else explainer.words(attribution, settings).numbers
        chosen = [numbers[0], *(number for number in numbers if number.name in _NUMBERS)] if numbers else []
        cards.append(Pin(row, column, map_layer(explainer, attribution, is_live=False), chosen))
    return cards
