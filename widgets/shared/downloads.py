"""The files of an attribution, in one row; each is made when its button is pressed."""

from collections.abc import Callable, Mapping

import streamlit as st

from core.attribution import Attribution

_BUTTONS = (
    ("values.npy", "Raw values", "application/octet-stream"),
    ("manifest.json", "Manifest", "application/json"),
)


def attribution_downloads(
    attribution: Attribution, stem: str, more: Mapping[tuple[str, str, str], Callable[[], bytes]] | None = None
) -> None:
    """One button each for the raw values, the manifest and `more` files; all names begin with `stem`.

    Pictures are saved in the viewer, as shown. `more` holds the functions that make the files, by name, label of the
    button and MIME type.
    """
    buttons = {each: lambda name=each[0]: attribution.files()[name] for each in _BUTTONS} | dict(more or {})
    with st.container(horizontal=True, gap="small"):
        for (name, label, mime), content in buttons.items():
            st.download_button(
                label,
                data=content,
                file_name=f"{stem}_{name}",
                mime=mime,
                on_click="ignore",
                icon=":material/download:",
                key=f"download-{name}",
                help=f"{stem}_{name}",
                type="tertiary",
            )
