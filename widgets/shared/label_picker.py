"""The label to explain of a network whose labels may overlap."""

import streamlit as st

from core.segmenter import Segmenter
from core.segmenter.findings import LabelNeededError
from core.segmenter.grid import UnusualSizeError
from widgets.shared.links import restore_choice, write_to_url

EXCLUSIVE = "None: one class per pixel"


def pick_label(segmenter: Segmenter, key: str) -> Segmenter:
    """The network, or the network for one of its labels as chosen under it; the choice is in the URL."""
    _, labels, is_needed = _labels(segmenter)
    if len(labels) <= (1 if is_needed else 2):
        return segmenter
    offered = labels if is_needed else (EXCLUSIVE, *labels)
    restore_choice(key, offered, offered[0])
    chosen = st.selectbox(
        "Label", offered, key=key,
        help="Where labels may overlap (a sigmoid per label), one of them is explained against its absence.",
    )  # fmt: skip
    write_to_url(key, chosen, offered[0])
    return segmenter if chosen == EXCLUSIVE else _for_label(segmenter, labels.index(chosen))[1]


# What is kept holds the segmenter itself, too, so that no other one gets its id meanwhile.
@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={Segmenter: id})
def _labels(segmenter: Segmenter) -> tuple[Segmenter, tuple[str, ...], bool]:
    """The names of what may be labels, and whether one must be chosen."""
    is_needed = False
    try:
        number = 0 if segmenter.asked.label is not None else segmenter.findings().num_channels
    except UnusualSizeError:  # it is examined on the image
        number = 0
    except LabelNeededError as error:
        number, is_needed = error.num_labels, True
    names = segmenter.given_names or [f"label {index}" for index in range(number)]
    return segmenter, tuple(names[:number]), is_needed


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={Segmenter: id})
def _for_label(segmenter: Segmenter, label: int) -> tuple[Segmenter, Segmenter]:
    return segmenter, segmenter.for_label(label)
