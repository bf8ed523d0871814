"""The rows of a Jacobian: a pixel's gradient map, read or computed, with its numbers, pinned or under the pointer."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from math import isnan
from typing import Any

from core.attribution import Attribution, gradient
from core.attribution.pixel_gradients import PixelGradients
from core.attribution.windowed import MapWindow
from core.display.words import number
from core.jacobian import Jacobian
from core.segmenter import Prediction
from core.target import Target
from widgets.jacobian.controls import View
from widgets.shared.pixel_answers import Pixel, live_map, pixel_gradients
from widgets.shared.pixel_words import in_percent, map_words
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.viewer.channel import Live, Request
from widgets.viewer.scene import Number, Words
from widgets.viewer.settings import PROPORTIONS

_NUMBER_OF_MAP = {"threshold": "Pixels above", "area": "Box area", "fulfilment": "Box filled"}
"""The number of the very pixel that a map shows for all."""


class Rows:
    """The rows of a Jacobian of one selection, with a threshold for all of them.

    Args:
        selection: Network, image, class and score of the Jacobian.
        prediction: The network's prediction for the image.
        jacobian: The Jacobian, complete or in part.
        view: Which threshold.

    Attributes:
        unit: Unit of the rows.
        thresholds: The threshold in that unit for each proportion offered; NaN where it is not resolved.
    """

    def __init__(self, selection: Selection, prediction: Prediction, jacobian: Jacobian, view: View) -> None:
        self._selection, self._prediction, self._jacobian, self._view = selection, prediction, jacobian, view
        threshold = view.threshold
        found = jacobian.thresholds(PROPORTIONS, threshold.definition, threshold.source).tolist()
        self.thresholds = dict(zip(PROPORTIONS, found, strict=True))
        self.unit = jacobian.manifest.score.gradient_unit

    def attribution(self, pixel: Pixel) -> Attribution:
        """The pixel's row."""
        manifest, segmenter = self._jacobian.manifest, self._selection.segmenter
        target, stored = self._target(pixel), self._jacobian.is_stored(*pixel)

        def read() -> Attribution:
            started = time.perf_counter()
            values = self._jacobian.row(*pixel)
            return Attribution(
                values, target, "jacobian_row", {"stored_as": manifest.dtype}, self._jacobian.size,
                time.perf_counter() - started, target.unit, segmenter.weights_hash, manifest.image_hash,
                model_name=segmenter.name,
            )  # fmt: skip

        def compute() -> Attribution:
            return gradient(segmenter, self._selection.image.values, target)

        given = *self._selection.key, self._selection.score, pixel
        key = ("jacobian row", *given, str(self._jacobian.path)) if stored else ("row", *given)
        return results().get_or_compute(key, read if stored else compute)

    def words(self, window: MapWindow, pixel: Pixel, settings: Mapping[str, Any]) -> Words:
        """What is said about a row."""
        proportion = settings["threshold"]
        threshold = self.thresholds.get(proportion, float("nan"))
        if isnan(threshold):
            return Words("The summaries do not resolve this threshold; take a larger proportion, or save rows.")
        given = self._selection, self._prediction, window, pixel, {"threshold": threshold}
        largest = "value" if self._view.threshold.definition == "absolute" else "signed value"
        so_far = "" if self._jacobian.complete else " so far"
        words = map_words(*given, f"{in_percent(proportion)} of the largest {largest} in all pixels' maps{so_far}")
        origin = "read from the disk" if self._jacobian.is_stored(*pixel) else "computed just now"
        numbers = [
            *words.numbers,
            Number(
                "Maximum of all maps",
                number(self._jacobian.maximum(self._view.threshold.definition)),
                f"The largest {largest} so far, which the threshold is a proportion of, in {self.unit}. Without “Exact "
                "counts” the threshold is moved to the nearest edge of the histograms' bins, at most 7 % away.",
            ),
            Number("Gradient map", origin, "Saved rows are read, others are computed."),
        ]
        first = _NUMBER_OF_MAP.get(self._view.picture)
        numbers.sort(key=lambda one: one.name != first)
        return replace(words, numbers=numbers)

    def live(self) -> Live:
        """What a pointer position means."""
        manifest = self._jacobian.manifest
        revision = *self._selection.key, manifest.score, manifest.dtype, self._jacobian.path
        return live_map(self._window, self.words, "-".join(map(str, revision)))

    def _window(self, request: Request) -> MapWindow:
        pixel = request.row, request.column
        height, width = self._jacobian.size
        if request.row < height and request.column < width and self._jacobian.is_stored(*pixel):
            return MapWindow(*self._jacobian.row_window(*pixel))
        return self._gradients.row(*pixel)

    @cached_property
    def _gradients(self) -> PixelGradients:
        return pixel_gradients(self._selection, self._prediction)

    def _target(self, pixel: Pixel) -> Target:
        return self._selection.score.at(*pixel, self._jacobian.labels)
