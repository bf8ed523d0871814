"""Download buttons for an attribution; each file is made when its button is pressed."""

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
    """One button for each file that `Attribution.save` would write, and for `more` files; all names begin with `stem`.

    `more` holds the functions that make the files, by name, label of the button and MIME type.
    """
    buttons = {each: lambda name=each[0]: attribution.files()[name] for each in _BUTTONS} | dict(more or {})
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
