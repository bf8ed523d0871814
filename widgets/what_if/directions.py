"""The directions that matter most."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.counterfactual import LeadingDirections, labels_along, leading_directions
from core.counterfactual.directions import DEFAULT_COUNT
from core.display.colours import FULL_COLOUR_PERCENTILE, colour_limit, signed_scale
from core.display.words import duration, number, percent
from core.io.files import zip_bytes
from core.receptive_field.known import learn_field
from core.segmenter import Prediction
from widgets.shared.pixel_set_picker import Question, in_viewer, pick_pixel_set, pixel_set_layers, question_of
from widgets.shared.results import Report
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import cancel_others, compute_in_background, start_button
from widgets.shared.sources import seconds_per_image
from widgets.shared.user_errors import show_user_errors
from widgets.viewer.scene import Labels, Layer, Mask, Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING
from widgets.viewer.viewer import viewer
from widgets.what_if.per_cent import per_cent

_PLACE = "directions"
_MOST = 8
_STEPS = (-64, -16, -4, -1, 0, 1, 4, 16, 64)
"""Steps along a direction whose labels are shown, in grey levels at the intensity that changes most."""
_USUAL_RUNS = 200
"""Runs of the network that take as long, for four directions of a large region: a product takes two to three."""
_LABEL_OPACITY = 0.4
_CHANGED = "#ff00aa"


@dataclass(frozen=True, eq=False)
class Walked:
    """The directions, and what the network predicts along them.

    Attributes:
        directions: The directions.
        labels: Uint8 or int64 (k, steps, H, W), see `labels_along`.
    """

    directions: LeadingDirections
    labels: np.ndarray


def directions_panel(selection: Selection, prediction: Prediction) -> None:
    """Choose a region; then its leading directions, what they do to its scores, and the labels along them."""
    st.caption(
        "The changes of the whole image that move the scores of a region most, for their size: the leading singular "
        "vectors of the Jacobian's rows of these pixels."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=265):
            name = pick_pixel_set(has_truth=selection.image.truth is not None, without=("prediction", "zero"))
        count = st.number_input(
            "Directions", 1, _MOST, DEFAULT_COUNT, key="what_if_count", bind="query-params", width=130,
            help="How many of them, the strongest first. A region of fewer pixels has fewer.",
        )  # fmt: skip
        started = st.container(width="content")
    question = question_of(name, selection, prediction)
    walked = None
    if question is None:
        cancel_others(None, [_PLACE])
    else:
        st.markdown(f"Moved: the {selection_words(question, selection)}.")
        identity: Hashable = (selection.key, question.key)
        cancel_others(identity, [_PLACE])
        with started:
            is_asked = start_button(
                ("directions asked", identity, count), "Find the directions", "explore", type="primary",
                key="run-directions",
                describe=lambda: st.caption(f"About {_time(selection)}, less for a small region."),
            )  # fmt: skip
        if is_asked:
            with show_user_errors():  # the viewer stays, for other pixels to be chosen
                walked = _walked(selection, prediction, question, int(count), identity)
    if walked is not None:
        _show_verdict(walked.directions)
    panels = [Panel("Image", [Picture(image=selection.image.values), *pixel_set_layers(question)], help=ZOOMING)]
    if walked is not None:
        panels += _stepped_panels(selection, prediction, walked)
    height, width = prediction.labels.shape
    viewer(
        "what-if-directions", panels, (height, width), selection.picture_key, name=selection.image.name,
        **in_viewer(name, selection, prediction),
    )  # fmt: skip
    if walked is not None:
        _show_vectors(selection, walked.directions)
        st.download_button(
            "Vectors and manifest (.zip)", lambda: zip_bytes(walked.directions.files()),
            f"{selection.image.stem}_directions.zip", "application/zip", on_click="ignore",
            icon=":material/download:", type="tertiary", key="download-directions",
        )  # fmt: skip


def selection_words(question: Question, selection: Selection) -> str:
    """The scores in words; each pixel's own counts, not their mean."""
    words = question.in_words(selection)
    return words.replace(f"{question.target.reduction} of the ", "", 1).replace(" over ", " at each of ", 1)


def _time(selection: Selection) -> str:
    return duration(_USUAL_RUNS * seconds_per_image(selection.segmenter, selection.image))


def _walked(
    selection: Selection, prediction: Prediction, question: Question, count: int, identity: Hashable
) -> Walked | None:
    target, image = question.target, selection.image.values

    def compute(report: Report) -> Walked:
        report(0, 100)
        height, width = prediction.labels.shape
        learn_field(selection.segmenter, (height, width))  # a small region of a large image then takes a window only
        found = leading_directions(
            selection.segmenter, image, question.mask, target.class_index, target.space, target.against, count,
            labels=prediction.labels, progress=per_cent(report, 0, 80),
        )  # fmt: skip
        labels = labels_along(selection.segmenter, image, found, _STEPS, per_cent(report, 80, 100))
        is_small = len(prediction.probabilities) <= np.iinfo(np.uint8).max
        return Walked(found, labels.astype(np.uint8) if is_small else labels)

    return compute_in_background(_PLACE, ("directions", identity, count), "Leading directions, per cent", compute)


def _show_verdict(found: LeadingDirections) -> None:
    with st.container(border=True):
        st.markdown(found.verdict)
        for note in found.notes:
            st.caption(f":material/info: {note}.")


def _stepped_panels(selection: Selection, prediction: Prediction, walked: Walked) -> list[Panel]:
    """The image after a step along one of the directions, and what is predicted there."""
    found, image = walked.directions, selection.image.values
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        chosen = st.segmented_control(
            "Step along direction", list(range(1, len(found) + 1)), default=1, required=True,
            key=f"what_if_direction_{len(found)}",
        )  # fmt: skip
        step = st.select_slider(
            "Step, in grey levels", _STEPS, 16, key="what_if_step", bind="query-params", width=330,
            format_func=lambda level: f"{level:+d}".replace("-", "−") if level else "0",
            help="Of 255, at the intensity that changes most. The image is kept in its range. Above 0 the scores of "
            "the region rise on the whole.",
        )  # fmt: skip
    index = chosen - 1
    labels = walked.labels[index, _STEPS.index(step)].astype(np.int64)
    changed = labels != prediction.labels
    count = int(changed.sum())
    names = selection.segmenter.class_names
    layers: list[Layer] = [
        Picture(name="stepped", title="intensity", image=found.stepped(image, index, step)),
        Labels(name="labels after", title="prediction", labels=labels, class_names=names, opacity=_LABEL_OPACITY),
        Mask(name="changed", mask=changed, colour=_CHANGED, opacity=0.6),
    ]
    note = f"{count:,} label{'s' * (count != 1)} changed"
    help_ = "The image after the step, the labels predicted for it, with those that are others tinted."
    return [Panel("After the step", layers, help=help_, note=note)]


def _show_vectors(selection: Selection, found: LeadingDirections) -> None:
    """Each direction on one scale, what it does to the scores of the region, and the numbers."""
    maps = found.right.sum(axis=1)
    ends = [colour_limit(each[each != 0], percentile=FULL_COLOUR_PERCENTILE) for each in (maps, found.left)]
    panels: list[Panel] = []
    for index, value in enumerate(found.values):
        panels.append(
            Panel(
                f"Direction {index + 1}",
                [ScalarMap(name=f"right {index}", title="change", values=maps[index], scale=signed_scale(ends[0]))],
                help="Red brightens, blue darkens; the opposite change does the opposite.",
                note=f"σ {number(value, 3)}",
                group="Changes of the image, of norm 1, on one scale",
            )
        )  # fmt: skip
    for index, error in enumerate(found.errors[:, 0]):
        moved = ScalarMap(
            name=f"left {index}", title="score", values=found.left[index], scale=signed_scale(ends[1]), over=True,
            fading=True,
        )  # fmt: skip
        panels.append(
            Panel(
                f"Scores, direction {index + 1}", [Picture(image=selection.image.values), moved],
                help="Red rises, blue falls. The note: how far the network is from this, at a tenth of a grey level.",
                note=f"within {percent(error)}", group="What they do to the scores, on one scale",
            )
        )  # fmt: skip
    viewer(
        "what-if-vectors", panels, found.mask.shape, selection.picture_key, tools=(), is_compact=True,
    )  # fmt: skip
    levels = [f"{level:g}" for level in found.grey_levels]
    st.table(
        {
            "Direction": [str(index + 1) for index in range(len(found))],
            f"σ, {found.score.gradient_unit}": [number(value) for value in found.values],
            "Share of all": [percent(share) for share in found.shares],
            "Times a random change": [f"{times:,.0f}" for times in found.advantages],
            **{
                f"First order off at {level}": [percent(error) for error in found.errors[:, place]]
                for place, level in enumerate(levels)
            },
            "Residual": [number(residual, 2) for residual in found.residuals],
        },
        hide_index=True,
    )
    st.caption(
        "σ: the norm of the change of all scores of the region, per norm of the change of all intensities. Share of "
        "all: of the squared change of these scores by a small random change of the image. First order off: how far "
        "the network's scores are from σ · step · left vector, at steps of so many grey levels where they are largest."
    )
