"""Data sets at hand: the samples, and folders of this machine that were opened in this session."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
SAMPLE_SETS = {f"Sample {name}": SAMPLES / name for name in ("vessels", "fundus", "scenes")}
"""Folders of the shipped data sets by their names on screen."""
A_FOLDER = "A folder…"
_OPENED = "_opened_data_sets"


def data_sets_at_hand() -> dict[str, Path]:
    """The data sets that can be chosen, by their names on screen: samples last."""
    return opened_data_sets() | SAMPLE_SETS


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
    name = _free_name(folder.name, {*opened, *SAMPLE_SETS})
    opened[name] = folder
    return name


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
    folder = Path(typed).expanduser()
    name = open_data_set(folder) if folder.is_dir() else folder.name
    return name, folder, Path(masks).expanduser() if masks else None


def _free_name(name: str, taken: Iterable[str]) -> str:
    found, number = name or "folder", 1
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found
