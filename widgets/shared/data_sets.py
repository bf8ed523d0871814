"""Data sets at hand: those that this browser uploaded, folders of this machine opened in this session, and samples."""

from pathlib import Path

import streamlit as st

from core.data.browsing import list_images
from core.errors import UserError
from widgets.shared.browser import browser_token
from widgets.shared.kept_data_sets import KeptDataSet, KeptDataSets, free_name, kept_data_sets_of

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
_SAMPLE_NAMES = ("vessels", "fundus", "scenes")
SAMPLE_SETS = {f"Sample {name}": SAMPLES / name for name in _SAMPLE_NAMES}
"""Folders of the shipped data sets by their names on screen."""
A_FOLDER = "A folder…"
TAKEN = (*SAMPLE_SETS, *_SAMPLE_NAMES, A_FOLDER)
"""Names that no other data set may have: its images would bear the names of a sample's."""
_OPENED = "_opened_data_sets"


def data_sets_at_hand() -> dict[str, Path]:
    """The data sets that can be chosen, by their names on screen: samples last."""
    return your_data_sets() | SAMPLE_SETS


def your_data_sets() -> dict[str, Path]:
    """The folders of the uploaded data sets, then those that were opened, by name, the newest first."""
    found = {name: data_set.folder for name, data_set in uploaded_data_sets().items()}
    for name, folder in opened_data_sets().items():
        found[free_name(name, {*found, *TAKEN})] = folder  # an uploaded one may have taken the name since
    return found


def kept_data_sets() -> KeptDataSets:
    """The uploaded data sets of this session's browser, to be changed."""
    return kept_data_sets_of(browser_token())


def uploaded_data_sets() -> dict[str, KeptDataSet]:
    """The uploaded data sets of this session's browser, by name, the newest first."""
    return kept_data_sets().sets()


def opened_data_sets() -> dict[str, Path]:
    """The folders that were opened in this session and are still there, by name, the newest first."""
    opened: dict[str, Path] = st.session_state.get(_OPENED, {})
    return {name: folder for name, folder in reversed(opened.items()) if folder.is_dir()}


def open_data_set(folder: Path) -> str:
    """Let the pages offer a folder of this machine, and its images; its name on screen."""
    folder = folder.expanduser().resolve()
    opened: dict[str, Path] = st.session_state.setdefault(_OPENED, {})
    for name, known in opened.items():
        if known == folder:
            return name
    name = free_name(folder.name or "folder", {*opened, *uploaded_data_sets(), *TAKEN})
    opened[name] = folder
    return name


def close_data_set(folder: Path) -> None:
    """Offer a folder of this machine no longer; its files stay."""
    opened: dict[str, Path] = st.session_state.get(_OPENED, {})
    for name in [name for name, known in opened.items() if known == folder.expanduser().resolve()]:
        del opened[name]


def pick_data_set(key: str) -> tuple[str, Path, Path | None] | None:
    """A picker for a data set: its name, its folder, and that of its masks where they are elsewhere; None for none yet.

    Args:
        key: Key of the picker, which those of the two inputs for a folder begin with.
    """
    known = data_sets_at_hand()
    offered = [*known, A_FOLDER]
    if st.session_state.get(key, offered[0]) not in offered:
        st.session_state[key] = offered[0]
    chosen = st.selectbox("Data set", offered, key=key, persist_state="session", width=220)
    if chosen != A_FOLDER:
        return chosen, known[chosen], None
    typed = st.text_input(
        "Folder", key=f"{key}_folder", placeholder="/data/cells", persist_state="session", width=260,
        help="On the machine that runs this program: images/ beside labels/ or masks/, with equal names; or train/, "
        "val/ and test/ of these.",
    )  # fmt: skip
    masks = st.text_input(
        "Masks, if they are elsewhere", key=f"{key}_masks", placeholder="/data/masks", persist_state="session",
        width=230,
    )  # fmt: skip
    if not typed:
        return None
    folder, elsewhere = Path(typed).expanduser(), Path(masks).expanduser() if masks else None
    try:
        list_images(folder, elsewhere)
    except UserError:  # the pages look for images in what is offered, and should not in a folder such as /
        return folder.name, folder, elsewhere
    return open_data_set(folder), folder, elsewhere
