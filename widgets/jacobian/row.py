"""One row of a Jacobian: the clicked pixel's gradient map, its box and its numbers."""

import threading
import time
from contextlib import nullcontext

import streamlit as st

from core.attribution import Attribution
from core.display.footprint import Footprint
from core.jacobian import Jacobian
from core.segmenter import Prediction, Segmenter
from core.target import Target
from widgets.shared.pixel_map import prediction_sentence
from widgets.shared.results import results
from widgets.shared.sidebar import SPACE_NAMES

_COMPUTING = threading.Lock()
"""A Jacobian keeps one forward graph for rows that are not stored, and sessions share it."""


def is_stored(jacobian: Jacobian, pixel: tuple[int, int]) -> bool:
    """Whether a row is read from the store rather than computed afresh."""
    return jacobian.manifest.keep_rows and bool(jacobian.computed[pixel])


def row_of(segmenter: Segmenter, jacobian: Jacobian, pixel: tuple[int, int]) -> Attribution:
    """The pixel's row, read or computed."""
    manifest, stored = jacobian.manifest, is_stored(jacobian, pixel)
    target = Target.pixel(*pixel, manifest.class_index, manifest.space)

    def read() -> Attribution:
        started = time.perf_counter()
        with nullcontext() if stored else _COMPUTING:
            values = jacobian.row(*pixel)
        parameters = {"stored_as": manifest.dtype if stored else "computed afresh"}
        return Attribution(
            values, target, "jacobian_row", parameters, jacobian.size, time.perf_counter() - started, target.unit,
            segmenter.weights_hash, manifest.image_hash, model_name=segmenter.name,
        )  # fmt: skip

    key = (
        "jacobian row", segmenter.weights_hash, str(segmenter.device), manifest.image_hash, pixel,
        manifest.class_index, manifest.space, manifest.dtype if stored else "afresh",
    )  # fmt: skip
    return results().get_or_compute(key, read)


def show_answer(
    segmenter: Segmenter, attribution: Attribution, prediction: Prediction, remaining: Footprint,
    pixel: tuple[int, int], *, stored: bool,
) -> None:  # fmt: skip
    """The answer in a sentence."""
    target, names = attribution.target, segmenter.class_names
    sentence = prediction_sentence(segmenter, prediction, pixel)
    what = f"{names[target.class_index]} {SPACE_NAMES[target.space].lower()}"
    if remaining.box is None:
        sentence += f"No input pixel moves its {what} by more than the threshold. "
    else:
        sentence += (
            f"**{remaining.count}** input pixels move its {what} by more than the threshold, within a box of "
            f"{remaining.box.height} × {remaining.box.width}. "
        )
    st.markdown(sentence + ("Its row was read from the store." if stored else "Its row was computed just now."))
