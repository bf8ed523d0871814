"""Pinned pixels: kept in the browser tab and in the address, shown side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.attribution import Attribution
from widgets.pixel_explorer.panels import map_layer
from widgets.shared.explainer import Explainer
from widgets.shared.kept_pins import KeptPins
from widgets.shared.pixel_answers import Pixel
from widgets.viewer.scene import Pin

PINS = KeptPins("_pins", most=8)
_NUMBERS = ("Maximum", "Maximum norm", "Pixels above", "Within 16 px")


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
