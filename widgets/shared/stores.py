"""Jacobians on disk, opened once for all sessions."""

from pathlib import Path

import streamlit as st

from core.jacobian import Jacobian
from core.segmenter import Segmenter
from widgets.shared.results import ResultStore

_MOST_OPENED = 8


def open_store(path: Path, segmenter: Segmenter) -> Jacobian:
    """The Jacobian at `path`, opened once for all sessions.

    Raises:
        UserError: No whole store there, or one of another model.
    """
    marker = path / "zarr.json"
    changed = marker.stat().st_mtime_ns if marker.is_file() else 0
    key = str(path), changed, segmenter.weights_hash, str(segmenter.device)
    return _stores().get_or_compute(key, lambda: Jacobian(path, segmenter))


@st.cache_resource
def _stores() -> ResultStore:
    return ResultStore(_MOST_OPENED, lambda _: 1)
