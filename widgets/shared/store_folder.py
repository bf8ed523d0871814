"""The folder of Jacobians on disk, in a module that imports nothing slow."""

import os
from pathlib import Path

import streamlit as st

DEFAULT_FOLDER = Path(os.environ.get("WHYPIXEL_RUNS") or Path(__file__).resolve().parents[2] / "runs")


def store_folder() -> Path:
    """The folder chosen on the Jacobian page, else `DEFAULT_FOLDER`."""
    named = st.session_state.get("folder")
    return Path(named).expanduser().absolute() if named else DEFAULT_FOLDER
