"""Download buttons for an attribution; the files are made when they are asked for."""

from collections.abc import Callable

import streamlit as st

from core.attribution import Attribution

_BUTTONS = (
    ("values.npy", "Raw values (.npy)", "application/octet-stream"),
    ("signed.png", "Signed map (.png)", "image/png"),
    ("magnitude.png", "Magnitude (.png)", "image/png"),
    ("manifest.json", "Manifest (.json)", "application/json"),
)


def attribution_downloads(attribution: Attribution, stem: str) -> None:
    """One button for each file that `Attribution.save` would write, named after `stem`."""
    for slot, (name, label, mime) in zip(st.columns(len(_BUTTONS)), _BUTTONS, strict=True):
        slot.download_button(
            label,
            data=_content(attribution, name),
            file_name=f"{stem}_{name}",
            mime=mime,
            on_click="ignore",
            icon=":material/download:",
            key=f"download-{name}",
            width="stretch",
        )


def _content(attribution: Attribution, name: str) -> Callable[[], bytes]:
    return lambda: attribution.files()[name]
