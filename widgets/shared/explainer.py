"""Explains pixels of a selection: a pixel's map, its numbers and its sentence, pinned or under the pointer."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from core.attribution import Attribution, gradient, influence, smoothgrad
from core.attribution.pixel_gradients import PixelGradients
from core.attribution.windowed import MapWindow
from core.compute.progress import Progress
from core.pixel_sets import PixelSet
from core.segmenter import Prediction
from widgets.shared.pixel_answers import Pixel, live_map, pixel_gradients
from widgets.shared.pixel_words import map_words
from widgets.shared.recipes import attribution_recipe, influence_recipe
from widgets.shared.results import results
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import compute_in_background
from widgets.shared.stored_rows import stored_rows
from widgets.viewer.channel import Live, Request
from widgets.viewer.scene import Recipe, Words
from widgets.viewer.settings import threshold_of

SAMPLES = 16
REFINEMENTS = (1, 4, SAMPLES)


class Explainer:
    """Explains pixels of one selection in one direction.

    Args:
        selection: Network, image, class and score.
        prediction: The network's prediction for the image.
        direction: "row" for what drives a pixel, "column" for what it drives.
        smooth: Whether rows are means over noisy copies.
    """

    def __init__(self, selection: Selection, prediction: Prediction, direction: str, *, smooth: bool) -> None:
        self.selection, self.prediction, self.direction = selection, prediction, direction
        self.smooth = smooth and direction == "row"
        self._score = selection.score
        self._stored = stored_rows(selection) if direction == "row" and not self.smooth else None

    @property
    def title(self) -> str:
        """Name of the maps."""
        return "Influence map" if self.direction == "column" else "SmoothGrad map" if self.smooth else "Gradient map"

    @property
    def unit(self) -> str:
        """Unit of the maps."""
        return self._score.gradient_unit

    def attributions(self, pixels: Sequence[Pixel]) -> dict[Pixel, Attribution]:
        """The maps of pixels, kept for all pages; those that take longer are missing until the page runs again."""
        wanted = {pixel: self._key(pixel) for pixel in pixels}
        missing = [pixel for pixel, key in wanted.items() if key not in results()]
        if missing:
            key = "maps", *self._key(missing[0]), *missing
            compute_in_background("maps", key, f"{self.title}s", partial(self._explain_all, missing))
        return {
            pixel: results().get_or_compute(key, partial(self._explain, pixel))
            for pixel, key in wanted.items()
            if key in results()
        }

    def words(self, attribution: Attribution, settings: Mapping[str, Any]) -> Words:
        """What is said about a pixel's map."""
        target = attribution.target
        pixel = int(target.row or 0), int(target.column or 0)
        return self._words(MapWindow(attribution.values, 0, 0), pixel, settings)

    def recipe(self, pixel: Pixel) -> Recipe:
        """How a pixel's map is made again."""
        score = self.selection.score.of_label(int(self.prediction.labels[pixel]))
        if self.direction == "column":
            return influence_recipe(self.selection, *pixel, score)
        method, settings = ("smoothgrad", {"n_samples": SAMPLES}) if self.smooth else ("gradient", {})
        return attribution_recipe(self.selection, PixelSet("point", *pixel), score, method, settings)

    def live(self) -> Live:
        """What a pointer position means."""
        explain = partial(self._window, pixel_gradients(self.selection, self.prediction))
        revision = "-".join(map(str, self._key((0, 0))))
        return live_map(explain, self._words, revision, REFINEMENTS if self.smooth else ())

    def _window(self, gradients: PixelGradients, request: Request) -> MapWindow:
        pixel = request.row, request.column
        if self.direction == "column":
            moved = gradients.column(*pixel)
            return MapWindow(moved.values[None], moved.top, moved.left)
        if self.smooth:
            return gradients.smooth_row(*pixel, request.samples or SAMPLES)
        stored = None if self._stored is None else self._stored(*pixel)
        return gradients.row(*pixel) if stored is None else stored

    def _words(self, window: MapWindow, pixel: Pixel, settings: Mapping[str, Any]) -> Words:
        given = self.selection, self.prediction, window, pixel, threshold_of(settings)
        return map_words(*given, is_influence=self.direction == "column")

    def _key(self, pixel: Pixel) -> tuple:
        name = "smoothgrad" if self.smooth else self.direction
        return (name, *self.selection.key, self._score, pixel)

    def _explain(self, pixel: Pixel) -> Attribution:
        given = self.selection.segmenter, self.selection.image.values
        target = self._score.at(*pixel, self.prediction.labels)
        if self.direction == "column":
            return influence(*given, *pixel, target.class_index, target.space, against=target.against)
        return smoothgrad(*given, target, SAMPLES) if self.smooth else gradient(*given, target)

    def _explain_all(self, pixels: Sequence[Pixel], progress: Progress) -> int:
        for index, pixel in enumerate(pixels):
            results().get_or_compute(self._key(pixel), partial(self._explain, pixel))
            progress(index + 1, len(pixels))
        return len(pixels)
