"""Components of our own, put together from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

TILES = Path(__file__).parent / "tiles.js"
"""What components with thumbnails have in common."""


def component(name: str, html: str, css: Path, scripts: Sequence[Path]) -> Any:
    """A component of Streamlit's; its scripts become one, in their order."""
    return st.components.v2.component(
        name,
        html=html,
        css=css.read_text(encoding="utf-8"),
        js="".join(script.read_text(encoding="utf-8") for script in scripts),
    )
