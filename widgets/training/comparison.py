"""Several training runs beside each other: what differs in their settings, and the same images."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from core.training.runs import PreviewedImage, Run
from widgets.shared.trained_networks import name_of_network

_NOT_SET = "none"


def names_of(shown: Sequence[Run]) -> list[str]:
    """What each run is called among the others, two of which may have been started in the same second."""
    names = [name_of_network(run) for run in shown]
    return [
        f"{run.title} ({run.folder.name})" if names.count(name) > 1 else name
        for run, name in zip(shown, names, strict=True)
    ]


def settings_view(shown: Sequence[Run]) -> None:
    """The settings of one run, or those in which several differ."""
    stated = {name: run.stated["settings"] for name, run in zip(names_of(shown), shown, strict=True)}
    if len(shown) == 1:
        with st.expander("Settings"):
            st.dataframe(settings_rows(stated), hide_index=True, key="train_settings")
        return
    rows = [row for row in settings_rows(stated) if len(set(list(row.values())[1:])) > 1]
    st.markdown("**What differs in the settings**")
    if rows:
        st.dataframe(rows, hide_index=True, key="train_settings")
    else:
        st.caption("Nothing: all settings are the same.")


def settings_rows(stated: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """A row for each setting, with its value in each run."""
    names = dict.fromkeys(name for settings in stated.values() for name in settings)
    return [
        {"Setting": name.replace("_", " ")} | {run: _words(settings.get(name)) for run, settings in stated.items()}
        for name in names
    ]


def in_common(previews: Sequence[Sequence[PreviewedImage]]) -> list[list[PreviewedImage]]:
    """The images that all runs have, each with what every run says of it; equal names of other images do not count."""
    if not previews:
        return []
    found = []
    for first in previews[0]:
        same = [next((each for each in others if _is_same(each, first)), None) for others in previews]
        if all(each is not None for each in same):
            found.append([each for each in same if each is not None])
    return found


def _is_same(one: PreviewedImage, other: PreviewedImage) -> bool:
    return one.stem == other.stem and np.array_equal(one.mask, other.mask) and np.array_equal(one.image, other.image)


def _words(value: object) -> str:
    if value is None:
        return _NOT_SET
    return value if isinstance(value, str) else json.dumps(value)
