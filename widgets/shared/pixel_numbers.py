"""The numbers of one pixel's map, on every page that explains pixels."""

import streamlit as st

from core.attribution import Attribution
from core.display.footprint import RADII, Footprint, share_within
from core.display.words import percent
from core.segmenter import Prediction, Segmenter

_A_LINE = 6


def show_numbers(
    segmenter: Segmenter, attribution: Attribution, prediction: Prediction, remaining: Footprint,
    pixel: tuple[int, int], of_what: str = "",
) -> None:  # fmt: skip
    """What the network says there, how large the map is, what lies above the threshold, how the mass spreads.

    Args:
        segmenter: The network, for the names of the classes.
        attribution: The pixel's map.
        prediction: The network's prediction for the image.
        remaining: What the threshold leaves of it.
        pixel: Row and column.
        of_what: What the threshold is a proportion of, where that is not this map's maximum.
    """
    target, box = attribution.target, remaining.box
    magnitude = attribution.magnitude()
    probability = prediction.probabilities[(target.class_index, *pixel)]
    numbers = {
        f"P({segmenter.class_names[target.class_index]})": f"{probability:.4{'f' if probability >= 1e-3 else 'g'}}",
        "Label": segmenter.class_names[int(prediction.labels[pixel])],
        "Maximum": f"{magnitude.max():.4g}",
        "Threshold": f"{remaining.threshold:.4g}",
        "Pixels above": f"{remaining.count:,}",
        "Box rows": f"{box.top} – {box.bottom}" if box else "none",
        "Box columns": f"{box.left} – {box.right}" if box else "none",
        "Box area": f"{box.area:,} px" if box else "0 px",
        "Fulfilment": percent(remaining.fulfilment),
    } | {f"Within {radius} px": percent(share_within(magnitude, *pixel, radius)) for radius in RADII}
    helps = {
        "Threshold": f"In {attribution.unit}{of_what and f': {of_what}'}.",
        "Maximum": f"In {attribution.unit}.",
        "Fulfilment": "Pixels above the threshold as a share of the box's area.",
    } | {f"Within {radius} px": "Share of the sum of magnitudes at most so far from the pixel." for radius in RADII}
    names = list(numbers)
    for line in (names[:_A_LINE], names[_A_LINE:]):
        for slot, name in zip(st.columns(_A_LINE), line, strict=True):
            slot.metric(name, numbers[name], help=helps.get(name), border=True)
