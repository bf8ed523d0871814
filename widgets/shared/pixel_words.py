"""What is said about one pixel's map: its numbers and a sentence, of a whole map or of the window that holds it."""

from collections.abc import Mapping

import numpy as np

from core.attribution.windowed import MapWindow
from core.display.footprint import RADII, Footprint, footprint, share_within
from core.display.words import number, percent
from core.segmenter import Prediction
from core.target import Target
from widgets.shared.sidebar import SPACE_NAMES, Selection
from widgets.viewer.scene import Number

Pixel = tuple[int, int]


def magnitude_of(window: MapWindow) -> np.ndarray:
    """√Σ_c values², (h, w)."""
    values = window.values
    return np.sqrt(np.square(values).sum(axis=0)) if len(values) > 1 else np.abs(values[0])


def map_numbers(
    selection: Selection,
    prediction: Prediction,
    window: MapWindow,
    pixel: Pixel,
    threshold: Mapping[str, float],
    of_what: str = "",
) -> list[Number]:
    """The network's answer at the pixel, how large the map is, what lies above the threshold, how the mass spreads.

    Args:
        selection: Network, image, class and score.
        prediction: The network's prediction for the image.
        window: The map.
        pixel: Row and column of the pixel.
        threshold: Keyword argument of `core.display.footprint.footprint`: `proportion` or `threshold`.
        of_what: What the threshold is a proportion of, where that is not this map's maximum.
    """
    magnitude = magnitude_of(window)
    remaining = footprint(magnitude, **threshold)
    names, unit = selection.segmenter.class_names, Target.pixel(*pixel, selection.class_index, selection.space).unit
    probability, box = prediction.probabilities[(selection.class_index, *pixel)], remaining.box
    rows = f"{box.top + window.top}–{box.bottom + window.top}" if box else "none"
    columns = f"{box.left + window.left}–{box.right + window.left}" if box else "none"
    share = "Share of the sum of magnitudes within this distance of the pixel."
    return [
        Number(f"P({names[selection.class_index]})", number(float(probability))),
        Number("Label", names[int(prediction.labels[pixel])]),
        Number("Maximum", number(float(magnitude.max())), f"Largest magnitude, in {unit}."),
        Number("Threshold", number(remaining.threshold), f"In {unit}{of_what and f': {of_what}'}."),
        Number("Pixels above", f"{remaining.count:,}", "Pixels whose magnitude exceeds the threshold."),
        Number("Box rows", rows, "Rows of the smallest box around the pixels above the threshold."),
        Number("Box columns", columns, "Columns of that box."),
        Number("Box area", f"{box.area:,} px" if box else "0 px"),
        Number("Fulfilment", percent(remaining.fulfilment), "Pixels above as a share of the box's area."),
        *(
            Number(
                f"Within {radius} px",
                percent(share_within(magnitude, pixel[0] - window.top, pixel[1] - window.left, radius)),
                share,
            )
            for radius in RADII
        ),
    ]


def map_sentence(
    selection: Selection,
    prediction: Prediction,
    window: MapWindow,
    pixel: Pixel,
    threshold: Mapping[str, float],
    *,
    is_influence: bool = False,
) -> str:
    """What the network says at a pixel, and how many pixels move that."""
    remaining = footprint(magnitude_of(window), **threshold)
    label, names = int(prediction.labels[pixel]), selection.segmenter.class_names
    sentence = (
        f"At row {pixel[0]}, column {pixel[1]} the network says {names[label]} with probability "
        f"{prediction.probabilities[(label, *pixel)]:.3f}. "
    )
    if not window.values.any():
        saturated = ", perhaps because the probability is saturated" if selection.space == "probability" else ""
        return f"{sentence}The map is 0 to float precision: this score does not move with the image here{saturated}."
    return sentence + _above(
        remaining, f"{names[selection.class_index]} {SPACE_NAMES[selection.space].lower()}", is_influence=is_influence
    )


def _above(remaining: Footprint, score: str, *, is_influence: bool) -> str:
    if remaining.box is None:
        return "No pixel lies above the threshold; lower it."
    pixels = f"{remaining.count:,} pixel{'' if remaining.count == 1 else 's'}"
    within = f"within {remaining.box.height} × {remaining.box.width}"
    if is_influence:
        return f"It moves the {score} of {pixels}, {within}, by more than the threshold."
    verb = "moves" if remaining.count == 1 else "move"
    return f"{pixels}, {within}, {verb} its {score} by more than the threshold."
