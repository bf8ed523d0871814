"""The viewer of maps along training: the slider of the epochs, a panel and a card for each pinned pixel."""

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from core.data.data_sets import Sample
from core.display.colours import signed_scale
from core.display.footprint import BoundingBox, bounding_box
from core.display.words import number
from core.training.along import MOST_PIXELS, SETTLED, MapsAlong
from core.training.film import colour_ends
from widgets.shared.pixel_answers import SIGNS, SIGNS_IN_SHORT, Pixel
from widgets.viewer.controls import Choice, Control, Shown, Slider
from widgets.viewer.scene import Layer, Number, Panel, Picture, Pin, ScalarMap
from widgets.viewer.settings import ZOOMING

EPOCH, COLOURS = "along_epoch", "along_colours"
"""Names of the controls."""
_MOST_BYTES_SENT = 32 * 2**20
"""Of maps that the browser holds at once, so that its slider needs no answer; of larger ones it holds one epoch's."""


def controls_of(maps: MapsAlong) -> list[Control]:
    """The slider of the epochs, and where the colours end."""
    values = tuple(float(epoch) for epoch in maps.numbers)
    return [
        Slider(name=EPOCH, label="Epoch", default=values[-1], values=values, form="{:.0f}"),
        Choice(
            name=COLOURS, label="Colours", default="own", options={"own": "Each epoch's own", "shared": "Shared"},
            help="Where the colours of a map end: each at its own 99.5th percentile, or all epochs of a pixel at the "
            "largest of them, so that sizes can be compared.",
        ),
    ]  # fmt: skip


def panels_of(sample: Sample, maps: MapsAlong, chosen: Mapping[str, Any]) -> list[Panel]:
    """The image, and beside it the map of each pixel at the epoch of the slider."""
    picture = Picture(image=sample.image)
    cuts = _cut(maps)
    is_sent = sum(values.nbytes for each in cuts for values, _ in each) <= _MOST_BYTES_SENT
    panels = [Panel("Image", [picture], ZOOMING, f"click to pin, {MOST_PIXELS} at most")]
    ends = {name: colour_ends(maps, shared=name == "shared") for name in ("own", "shared")}
    for index, (row, column) in enumerate(maps.pixels):
        layers: list[Layer] = []
        for place, epoch in enumerate(maps.numbers):
            if not is_sent and epoch != chosen[EPOCH]:
                continue
            values, corner = cuts[place][index]
            layers += [
                ScalarMap(
                    name=f"{name} {index} {epoch}", title=f"gradient {index + 1}", values=values, corner=corner,
                    scale=signed_scale(float(ends[name][place, index])), unit=maps.unit,
                    shown=(Shown(EPOCH, [float(epoch)]), Shown(COLOURS, name)),
                )
                for name in ends
            ]  # fmt: skip
        panels.append(
            Panel(f"{index + 1}: row {row}, column {column}", layers, SIGNS, SIGNS_IN_SHORT, name=f"map {index}")
        )
    return panels


_cuts: WeakKeyDictionary[MapsAlong, list[list[tuple[np.ndarray, Pixel]]]] = WeakKeyDictionary()


def _cut(maps: MapsAlong) -> list[list[tuple[np.ndarray, Pixel]]]:
    """The values of each epoch and pixel that are not 0, and where they begin; kept, so that they are sent once."""
    if maps not in _cuts:
        _cuts[maps] = [[_box(values) for values in epoch] for epoch in maps.values]
    return _cuts[maps]


def _box(values: np.ndarray) -> tuple[np.ndarray, Pixel]:
    box = bounding_box((values != 0).any(axis=0)) or BoundingBox(0, 0, 0, 0)
    return np.ascontiguousarray(values[:, box.top : box.bottom + 1, box.left : box.right + 1]), (box.top, box.left)


def pin_cards(pins: Sequence[Pixel], maps: MapsAlong) -> list[Pin]:
    """The pins with their last map, and how the score went."""
    ends, cuts, cards = colour_ends(maps, shared=False), _cut(maps)[-1], []
    for row, column in pins:
        if (row, column) not in maps.pixels:  # it is being computed
            cards.append(Pin(row, column, None))
            continue
        index = maps.pixels.index((row, column))
        values, corner = cuts[index]
        last = ScalarMap(
            name=f"pin {index}", values=values, corner=corner, scale=signed_scale(float(ends[-1, index])),
            unit=maps.unit,
        )  # fmt: skip
        since = maps.settled_since(index)
        cards.append(
            Pin(row, column, last, [
                Number("Settled since", "–" if since is None else f"epoch {since}", _SINCE),
                Number("First score", number(float(maps.scores[0, index])), f"After epoch {maps.numbers[0]}."),
                Number("Last score", number(float(maps.scores[-1, index])), f"After epoch {maps.numbers[-1]}."),
            ])
        )  # fmt: skip
    return cards


_SINCE = (
    f"The first saved epoch from which on the sizes of the map have a cosine similarity of {SETTLED:g} or more with "
    "those of the last one."
)
