"""What is said about one pixel's map: its numbers and a sentence, of a whole map or of the window that holds it."""

from collections.abc import Mapping

import numpy as np

from core.attribution.windowed import MapWindow
from core.display.footprint import RADII, Footprint, footprint, magnitude_of, share_within
from core.display.words import number, percent
from core.segmenter import Prediction
from widgets.shared.sidebar import Selection, score_words
from widgets.shared.verdict import verdict_chips
from widgets.viewer.scene import Number, Words

Pixel = tuple[int, int]
_NEAR = 16
"""Radius in pixels of the share that is among the first numbers."""


def map_words(
    selection: Selection,
    prediction: Prediction,
    window: MapWindow,
    pixel: Pixel,
    threshold: Mapping[str, float],
    of_what: str = "",
    *,
    is_influence: bool = False,
) -> Words:
    """What is said about a pixel's map.

    Args:
        selection: Network, image, class and score.
        prediction: The network's prediction for the image.
        window: The map.
        pixel: Row and column of the pixel.
        threshold: Keyword argument of `core.display.footprint.footprint`: `proportion` or `threshold`.
        of_what: What `threshold` is a proportion of, in words; `proportion` is one of this map's maximum.
        is_influence: Whether the map says what the pixel moves, rather than what moves the pixel.
    """
    magnitude = magnitude_of(window.values)
    remaining = footprint(magnitude, **threshold)
    given = selection, prediction, window, pixel
    if "proportion" in threshold:
        of_what = f"{in_percent(threshold['proportion'])} of this map's maximum"
    return Words(
        _sentence(*given, remaining, of_what, is_influence=is_influence),
        verdict_chips(selection, prediction, pixel),
        _numbers(*given, magnitude, remaining, of_what),
        selection.score.of_label(int(prediction.labels[pixel])).gradient_unit,
    )


def in_percent(proportion: float) -> str:
    """A threshold's proportion, as in a sentence that may wrap."""
    return f"{100 * proportion:.3g}\N{NO-BREAK SPACE}%"


def _numbers(
    selection: Selection, prediction: Prediction, window: MapWindow, pixel: Pixel, magnitude: np.ndarray,
    remaining: Footprint, of_what: str,
) -> list[Number]:  # fmt: skip
    """The network's answer at the pixel, how large the map is, what lies above the threshold, how the mass spreads."""
    names, target = selection.segmenter.class_names, selection.score.at(*pixel, prediction.labels)
    unit, probability, box = target.unit, prediction.probabilities[(target.class_index, *pixel)], remaining.box
    rows = f"{box.top + window.top}–{box.bottom + window.top}" if box else "none"
    columns = f"{box.left + window.left}–{box.right + window.left}" if box else "none"
    within = {
        radius: Number(
            f"Within {radius} px",
            percent(share_within(magnitude, pixel[0] - window.top, pixel[1] - window.left, radius)),
            "Share of the whole map that lies within this distance of the pixel: of the sum of its magnitudes.",
        )
        for radius in RADII
    }
    largest = Number("Maximum", number(float(magnitude.max())), f"Largest magnitude in the map, in {unit}.")
    if len(window.values) > 1:
        help_ = f"Largest norm of a pixel's channels, in {unit}. The map shows their sum, which can be larger."
        largest = Number("Maximum norm", largest.value, help_)
    return [
        Number(
            f"P({names[target.class_index]})", _probability(float(probability)), "Probability of the class explained."
        ),
        Number(
            "Pixels above",
            f"{remaining.count:,}",
            "Pixels of the map whose magnitude, whatever its sign, is larger than the threshold.",
        ),
        within.pop(_NEAR),
        largest,
        Number("Threshold", number(remaining.threshold), f"In {unit}{of_what and f': {of_what}'}."),
        Number("Box rows", rows, "Rows of the smallest box around the pixels above the threshold."),
        Number("Box columns", columns, "Columns of that box."),
        Number("Box area", f"{box.area:,} px" if box else "0 px", "Pixels in that box."),
        Number("Box filled", percent(remaining.fulfilment), "Fulfilment: pixels above as a share of the box's area."),
        *within.values(),
    ]


def _probability(value: float) -> str:
    return "> 0.9999" if value > 0.99995 else number(value)


def _sentence(
    selection: Selection, prediction: Prediction, window: MapWindow, pixel: Pixel, remaining: Footprint, of_what: str,
    *, is_influence: bool,
) -> str:  # fmt: skip
    """How many pixels move what the network says at a pixel, which the chips name."""
    label, names = int(prediction.labels[pixel]), selection.segmenter.class_names
    note = selection.contrast_note(label)
    sentence = note and f"{note} "
    score = selection.score.of_label(label)
    if not window.values.any():
        saturated = ", perhaps because the probability is saturated" if score.space == "probability" else ""
        return f"{sentence}The map is 0 to float precision: this score does not move with the image here{saturated}."
    return sentence + _above(remaining, score_words(score, names), of_what, is_influence=is_influence)


def _above(remaining: Footprint, score: str, of_what: str, *, is_influence: bool) -> str:
    threshold = f"the threshold{of_what and f' ({of_what})'}"
    if remaining.box is None:
        return f"No pixel lies above {threshold}; lower it."
    pixels = f"{remaining.count:,} pixel{'' if remaining.count == 1 else 's'}"
    within = f"within {remaining.box.height} × {remaining.box.width} px"
    if is_influence:
        return f"This pixel moves the {score} of {pixels}, {within}, by more than {threshold}."
    verb = "moves" if remaining.count == 1 else "move"
    return f"{pixels}, {within}, {verb} this pixel's {score} by more than {threshold}."
