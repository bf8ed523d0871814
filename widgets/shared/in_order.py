"""What a component shows, in order: a run's data must not be shown in place of those of a later run."""

import time
from typing import Any

import streamlit as st

Data = dict[str, Any]


def in_order(key: str, data: Data) -> Data:
    """The data with a number, "order", that is larger than with other data before; the same data keep theirs.

    Streamlit calls a component's script for each run once the script is there. Chromium lets those who wait for it go
    in any order, so the script has to leave out a call whose number is smaller than one that it has seen.

    Args:
        key: Key of the component.
        data: What the component shows.
    """
    known, order = st.session_state.get(f"_order_{key}", (None, 0))
    if data != known:
        order = max(order + 1, time.time_ns() // 1_000_000)  # also larger than those of this tab's former session
        st.session_state[f"_order_{key}"] = data, order
    return {**data, "order": order}
