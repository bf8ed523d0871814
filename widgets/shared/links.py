"""Widgets whose values the page itself changes, kept in the URL by their names.

Streamlit binds a widget to the URL by its label on screen, and lets nothing else set the value of one with a default.
"""

from collections.abc import Collection

import streamlit as st

_LABELS_BY_FORMER_ONES = {
    "definition": {"Of max J": "Max J"},
    "measure": {"Fulfilment": "Box filled"},
    "origin": {"Open a store": "Open saved"},
    "panel": {"Store and downloads": "Files and downloads"},
    "picture": {"Fulfilment": "Box filled"},
    "scale": {"One for all": "Shared", "One a method": "Per method"},
    "storage": {"Rows, exact": "Exact", "Rows, 16 bit": "16 bit", "Rows, 8 bit": "8 bit"},
    "trust_scale": {"One a unit": "One per unit"},
}

WRITTEN_ONLY = (
    "class", "estimate_error", "label", "layer", "layers", "method", "pinned", "prompt", "second_label",
    "second_prompt", "store",
)  # fmt: skip
"""What `write_to_url` writes: runs do not read it again, so Back could not undo it, and it makes no entry."""

_KEYS_BY_FORMER_ONES = {"reduction": "over"}


def update_old_link() -> None:
    """Before the widgets: replace what they and their options were called in former links."""
    former = {key: st.query_params[key] for key in _LABELS_BY_FORMER_ONES if key in st.query_params}
    found = {key: new for key, label in former.items() if (new := _LABELS_BY_FORMER_ONES[key].get(label))}
    for key in _KEYS_BY_FORMER_ONES.keys() & st.query_params.keys():
        found[_KEYS_BY_FORMER_ONES[key]] = st.query_params.pop(key)
    if found:
        st.query_params.update(found)
        st.rerun()  # widgets take their first values from the URL that the run began with


def value_in_url(key: str) -> str | None:
    """The value in the URL when the page opens; None once the page has a value of its own."""
    return None if key in st.session_state else st.query_params.get(key)


def restore_choice(key: str, offered: Collection[str], default: str) -> None:
    """Before a widget without a default: its value, if offered, else the one in the URL, else the default."""
    from_url, chosen = value_in_url(key), st.session_state.get(key)
    if chosen not in offered:
        chosen = from_url if from_url in offered else default
    # Also where it is so already: of two runs close to each other the browser may see the second only, and then shows
    # the first option unless that run, too, sends the value.
    st.session_state[key] = chosen


def write_to_url(key: str, value: str, default: str) -> None:
    """After the widget: put its value into the URL, unless it is the default; `key` is one of `WRITTEN_ONLY`."""
    if key not in WRITTEN_ONLY:
        raise ValueError(f"{key} is not in WRITTEN_ONLY.")
    if value == default:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != value:
        st.query_params[key] = value
