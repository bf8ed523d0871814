"""One map per pixel in a viewer: under the pointer through the channel, and as a layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from core.attribution import Attribution
from core.attribution.pixel_gradients import PixelGradients
from core.attribution.windowed import MapWindow
from core.compute.progress import Progress
from core.display.colours import signed_scale
from core.display.footprint import BoundingBox, bounding_box
from core.receptive_field.known import learn_field
from core.segmenter import Prediction
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import request
from widgets.viewer.channel import Answer, Live, Request
from widgets.viewer.scene import ScalarMap, Words

MAP = "map"
"""Name of the layer with the pixel's map."""
SIGNS = "Red: the score rises as the pixel brightens; blue: it falls."
SIGNS_IN_SHORT = "red raises, blue lowers"
"""What its colours mean."""

Pixel = tuple[int, int]


def live_map(
    explain: Callable[[Request], MapWindow],
    words: Callable[[MapWindow, Pixel, Mapping[str, Any]], Words],
    revision: str,
    refine: Sequence[int] = (),
) -> Live:
    """A pointer position means the pixel's map and what is said about it.

    The last map is kept: while the threshold moves, only the words are new.

    Args:
        explain: Computes the map that is requested.
        words: What is said about a map, given its pixel and the settings of the viewer's controls.
        revision: As in `Live`.
        refine: As in `Live`.
    """
    last: list[tuple[tuple, MapWindow]] = []

    def respond(request: Request) -> Answer:
        pixel = request.row, request.column
        key = *pixel, request.samples
        window = next((window for known, window in tuple(last) if known == key), None)
        if window is None:
            window = explain(request)
            last[:] = [(key, window)]
        return Answer({MAP: window}, words(window, pixel, request.settings))

    return Live(respond, revision, refine)


def pixel_gradients(selection: Selection, prediction: Prediction) -> PixelGradients:
    """The gradients of the selection's pixels. They hold the network and the image, so they are not kept for others."""
    return PixelGradients(selection.segmenter, selection.image.values, selection.score, prediction.labels)


def learn_in_background(selection: Selection) -> None:
    """Find the receptive field, which makes the answers faster, once for a network and a size of image."""
    segmenter, size = selection.segmenter, (selection.image.values.shape[1], selection.image.values.shape[2])

    def learn(_: Progress) -> None:
        learn_field(segmenter, size)

    key = "receptive field", *selection.key[:2], size
    if key not in results():
        request("receptive field", key, learn)


def pixel_map_layer(
    attribution: Attribution | None, title: str, unit: str, *, is_live: bool = True, opacity: float = 1.0
) -> ScalarMap:
    """A pixel's map, sent as the box around its values that are not 0; the channel alone sends it where it is None.

    `unit` is that of most pixels: it differs where the class held against is predicted, which the map itself knows.
    """
    values, corner = (None, (0, 0)) if attribution is None else _cut(attribution)
    return ScalarMap(
        name=MAP, title=title, values=values, corner=corner, scale=signed_scale(1.0), limit="$limit",
        unit=unit if attribution is None else attribution.unit, is_live=is_live, opacity=opacity,
    )  # fmt: skip


_cut_maps: WeakKeyDictionary[Attribution, tuple[np.ndarray, Pixel]] = WeakKeyDictionary()


def _cut(attribution: Attribution) -> tuple[np.ndarray, Pixel]:
    """The values (C, h, w) that are not 0, and where they begin; the same array each time, so that it is sent once."""
    known = _cut_maps.get(attribution)
    if known is None:
        box = bounding_box((attribution.values != 0).any(axis=0)) or BoundingBox(0, 0, 0, 0)
        values = attribution.values[:, box.top : box.bottom + 1, box.left : box.right + 1]
        known = _cut_maps[attribution] = np.ascontiguousarray(values), (box.top, box.left)
    return known
