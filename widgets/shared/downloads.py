"""Download buttons for an attribution; the files are made when they are asked for."""

from collections.abc import Callable, Mapping

import streamlit as st

from core.attribution import Attribution

_BUTTONS = (
    ("values.npy", "Raw values (.npy)", "application/octet-stream"),
    ("signed.png", "Signed map (.png)", "image/png"),
    ("magnitude.png", "Magnitude (.png)", "image/png"),
    ("manifest.json", "Manifest (.json)", "application/json"),
)


def attribution_downloads(
    attribution: Attribution, stem: str, more: Mapping[tuple[str, str, str], Callable[[], bytes]] | None = None
) -> None:
    """One button for each file that `Attribution.save` would write, named after `stem`, and for `more` files.

    Args:
        attribution: Whose files.
        stem: Put before the name of each file.
        more: What makes a file, by its name, the button's label and the file's type.
    """
    buttons = {button: _content(attribution, button[0]) for button in _BUTTONS} | dict(more or {})
    for slot, ((name, label, mime), content) in zip(st.columns(len(buttons)), buttons.items(), strict=True):
        slot.download_button(
            label,
            data=content,
            file_name=f"{stem}_{name}",
            mime=mime,
            on_click="ignore",
            icon=":material/download:",
            key=f"download-{name}",
            width="stretch",
        )


def _content(attribution: Attribution, name: str) -> Callable[[], bytes]:
    return lambda: attribution.files()[name]
