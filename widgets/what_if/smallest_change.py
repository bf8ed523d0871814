"""The smallest change that flips a label: of a pixel or a region, anywhere, around it, or inside a lasso."""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st

from core.counterfactual import SmallestChange, allowed_outside, smallest_change
from core.counterfactual.flip import MEASURES, TITLES, Measure
from core.counterfactual.flip.natural import FILLS, Fill
from core.display.colours import FULL_COLOUR_PERCENTILE, colour_limit, signed_scale
from core.display.words import duration, number
from core.drawn_regions import region_mask
from core.errors import UserError
from core.io.files import zip_bytes
from core.receptive_field.known import learn_field
from core.segmenter import Prediction
from widgets.shared.pixel_set_picker import InViewer, Question, in_viewer, pick_pixel_set, pixel_set_layers, question_of
from widgets.shared.results import Report
from widgets.shared.sidebar import Selection
from widgets.shared.slow_work import cancel_others, compute_in_background, start_button
from widgets.shared.sources import seconds_per_image
from widgets.shared.user_errors import plain_text, show_user_errors
from widgets.viewer.regions import restore_region
from widgets.viewer.scene import Labels, Layer, Mask, Panel, Picture, ScalarMap
from widgets.viewer.settings import ZOOMING
from widgets.viewer.viewer import viewer

_PLACE = "smallest change"
Where = Literal["anywhere", "context", "lasso"]
_WHERE: dict[Where, str] = {"anywhere": "Anywhere", "context": "Context only", "lasso": "Inside a lasso"}
_ANY = "any other class"
_RUNS: dict[Measure, int] = {"l2": 150, "linf": 250, "l0": 150, "natural": 400}
"""Runs of the network that a search takes about as long as."""
_OTHER_CLASSES = 3
"""How many times as long it takes where several classes are tried."""
_LABEL_OPACITY = 0.4


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked for.

    Attributes:
        question: The pixels that are to flip.
        measure: What is made small.
        to_class: The class that they are to get; None for any other.
        allowed: Bool (H, W), the pixels that may change; None for all.
        eight_bit: Whether changed values are whole grey levels.
        fill: What the pixels of a natural change become.
    """

    question: Question
    measure: Measure
    to_class: int | None
    allowed: np.ndarray | None
    eight_bit: bool
    fill: Fill

    @property
    def key(self) -> tuple[object, ...]:
        """The same for the same question."""
        chosen, allowed = self.question.pixel_set, self.allowed
        pixels = (chosen.row, chosen.column) if chosen.name == "point" else _digest(self.question.mask)
        where = None if allowed is None else _digest(allowed)
        return pixels, self.measure, self.to_class, where, self.eight_bit, self.fill


def smallest_change_panel(selection: Selection, prediction: Prediction) -> None:
    """Choose pixels and what may change; then the change that flips them, and what flips with it."""
    st.caption(
        "The least that has to be different for another label. It tells how fragile a label is, and, kept to the "
        "context, whether the surroundings alone can turn it."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=225):
            name = pick_pixel_set(
                has_truth=selection.image.truth is not None, without=("prediction", "zero", "image", "border")
            )
        measure: Measure = st.selectbox(
            "What is small", MEASURES, key="what_if_measure", bind="query-params", width=225,
            format_func=lambda each: TITLES[each],
        )  # fmt: skip
        to_class = _pick_class(selection)
    question = question_of(name, selection, prediction)
    asked, change = None, None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        where = _pick_where(is_drawn=name in ("box", "lasso"))
        radius = _pick_radius(where)
        fill: Fill = "inpaint"
        eight_bit = False
        if measure == "natural":
            fill = st.selectbox(
                "It becomes", list(FILLS), key="what_if_fill", bind="query-params", width=150,
                format_func=lambda each: FILLS[each],
            )  # fmt: skip
        else:
            eight_bit = st.toggle(
                "Whole grey levels", key="what_if_eight_bit", bind="query-params",
                help="The changed image can be saved with 8 bits, and flips all the same.",
            )  # fmt: skip
        started = st.container(width="content")
    with show_user_errors():  # the viewer stays, for other pixels to be chosen
        if question is not None:
            allowed = _allowed(selection, question, where, radius)
            asked = Asked(question, measure, to_class, allowed, eight_bit, fill)
    if asked is None:
        cancel_others(None, [_PLACE])
    else:
        identity = (_PLACE, (*selection.key, *asked.key))
        cancel_others(identity[1], [_PLACE])
        with started:
            is_asked = start_button(
                identity, "Find the change", "bolt", type="primary",
                key="run-smallest-change",
                describe=lambda: st.caption(f"About {_time(selection, measure)}, less where a part of the image does."),
            )  # fmt: skip
        if is_asked:
            with show_user_errors():
                change = _found(selection, asked, identity)
    if change is not None:
        with st.container(border=True):
            st.markdown(plain_text(change.sentence(selection.segmenter.class_names)))
    height, width = prediction.labels.shape
    viewer(
        "smallest-change", _panels(selection, prediction, question, asked, change), (height, width),
        selection.picture_key, name=selection.image.name, **_tools(name, selection, prediction, where),
    )  # fmt: skip
    if change is not None:
        _show_numbers(selection, change)
        _downloads(selection, change)


def _pick_class(selection: Selection) -> int | None:
    names = selection.segmenter.class_names
    if len(names) == 2:  # there is only one other
        return None
    chosen = st.selectbox(
        "Turn it into", [_ANY, *names], key="what_if_to", bind="query-params", width=180,
        help="The class that the pixels are to get.",
    )  # fmt: skip
    return names.index(chosen) if chosen in names else None


def _pick_where(*, is_drawn: bool) -> Where:
    offered: list[Where] = ["anywhere", "context"] if is_drawn else ["anywhere", "context", "lasso"]
    chosen = st.segmented_control(
        "What may change", offered, default="anywhere", required=True, key="what_if_where", bind="query-params",
        format_func=lambda each: _WHERE[each],
        help="Context only: the pixels themselves and what is near them stay as they are, bit for bit. Inside a lasso: "
        "only what is drawn in the picture.",
    )  # fmt: skip
    return chosen if chosen in offered else "anywhere"


def _pick_radius(where: Where) -> int:
    if where != "context":
        return 0
    return int(
        st.number_input(
            "Beyond, in pixels", 0, 4096, 8, key="what_if_radius", bind="query-params", width=130,
            help="Nothing changes at this distance from the pixels or nearer.",
        )
    )  # fmt: skip


def _allowed(selection: Selection, question: Question, where: Where, radius: int) -> np.ndarray | None:
    if where == "context":
        return allowed_outside(question.mask, question.mask.shape, radius)
    if where == "lasso":
        allowed = region_mask(question.mask.shape, restore_region(selection.picture_key, "lasso"))
        if not allowed.any():
            raise UserError("Draw a lasso over the picture: it holds no pixel that may change yet.")
        return allowed
    return None


def _tools(name: str, selection: Selection, prediction: Prediction, where: Where) -> InViewer:
    """The tools that choose the pixels and, beside them, the lasso of what may change."""
    tools = in_viewer(name, selection, prediction)  # type: ignore[arg-type]
    if where == "lasso":
        tools["tools"] = (*tools["tools"], "lasso", "box")
        tools["parts"] = restore_region(selection.picture_key, "lasso")
    return tools


def _time(selection: Selection, measure: Measure) -> str:
    runs = _RUNS[measure] * (_OTHER_CLASSES if measure == "l2" and len(selection.segmenter.class_names) > 2 else 1)
    return duration(runs * seconds_per_image(selection.segmenter, selection.image))


def _found(selection: Selection, asked: Asked, identity: Hashable) -> SmallestChange | None:
    image = selection.image.values

    def compute(report: Report) -> SmallestChange:
        report(0, 1)
        learn_field(selection.segmenter, (image.shape[1], image.shape[2]))  # a part of a large image will do
        return smallest_change(
            selection.segmenter, image, asked.question.mask, measure=asked.measure, to_class=asked.to_class,
            allowed=asked.allowed, eight_bit=asked.eight_bit, fill=asked.fill, progress=report,
        )  # fmt: skip

    return compute_in_background(_PLACE, identity, "Smallest change, runs of the network", compute)


def _panels(
    selection: Selection,
    prediction: Prediction,
    question: Question | None,
    asked: Asked | None,
    change: SmallestChange | None,
) -> list[Panel]:
    """The image, and once it is found the changed image and the change."""
    names = selection.segmenter.class_names
    before: list[Layer] = [
        Picture(image=selection.image.values),
        Labels(name="labels", title="label", labels=prediction.labels, class_names=names, opacity=_LABEL_OPACITY),
        *pixel_set_layers(question),
    ]
    if asked is not None and asked.allowed is not None:
        before.append(Mask(name="fixed", mask=~asked.allowed, colour="#f2a541", opacity=0.15))
    note = "tinted: may not change" if asked is not None and asked.allowed is not None else ""
    panels = [Panel("Image", before, help=ZOOMING, note=note)]
    if change is None:
        return panels
    flipped = change.labels_after != change.labels_before
    after: list[Layer] = [
        Picture(name="changed image", title="intensity now", image=change.changed),
        Labels(
            name="labels after", title="label now", labels=change.labels_after, class_names=names,
            opacity=_LABEL_OPACITY,
        ),
        Mask(name="flipped", mask=flipped, opacity=0.0),
    ]  # fmt: skip
    values = change.change.sum(axis=0)
    limit = colour_limit(values[values != 0], percentile=FULL_COLOUR_PERCENTILE)
    return [
        *panels,
        Panel("Changed image", after, help="What the network sees now.", note="outlined: flipped labels"),
        Panel(
            "The change",
            [ScalarMap(name="change", title="change", values=values, scale=signed_scale(limit), unit="intensity")],
            help="Changed image minus image, of several channels the sum, in colours that end at its own size.",
            note=f"magnified: at most {number(change.grey_levels, 3)} of 255 grey levels",
        ),
    ]


def _show_numbers(selection: Selection, change: SmallestChange) -> None:
    names = selection.segmenter.class_names
    st.table(
        {
            "From": [names[change.from_class]],
            "To": [names[change.to_class]],
            "L2 norm": [number(change.l2)],
            "Largest, intensity": [number(change.linf)],
            "Largest, grey levels": [number(change.grey_levels)],
            "Pixels changed": [f"{change.pixels:,}"],
            "Other labels flipped": [f"{int(change.also_flipped.sum()):,}"],
            "Runs of the network": [f"{change.runs:,}"],
        },
        hide_index=True,
    )
    st.caption(
        "Proven by a prediction of the whole changed image, within [0, 1]. A smaller change may exist: the search "
        "keeps the nearest flip that it meets."
    )


def _downloads(selection: Selection, change: SmallestChange) -> None:
    stem = f"{selection.image.stem}_{change.measure}_flip"
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Edit", change.edit.file_bytes, f"{stem}_edit.zip", "application/zip", on_click="ignore",
            icon=":material/download:", type="tertiary", key="download-flip-edit",
            help="Opens under Paint, on the image that it was made of.",
        )  # fmt: skip
        st.download_button(
            "Change, labels and manifest (.zip)", lambda: zip_bytes(change.files()), f"{stem}.zip", "application/zip",
            on_click="ignore", icon=":material/download:", type="tertiary", key="download-flip",
        )  # fmt: skip


def _digest(mask: np.ndarray) -> str:
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
