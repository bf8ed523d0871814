"""The list of training runs, and which of them are looked at."""

import time

import streamlit as st

from core.display.words import duration
from core.training.runs import Run, Status

STATES = {
    "queued": "waiting", "running": "training", "finished": "finished", "stopped": "stopped", "failed": "failed",
    "lost": "was killed",
}  # fmt: skip
"""What the states of a run are called on screen."""
_MOST_COMPARED = 4


def pick_runs(found: list[Run]) -> list[Run]:
    """A table of runs; those chosen in it, the run started last if none is."""
    statuses = [run.status for run in found]
    rows = [
        {
            "Network": run.title,
            "State": STATES[status.state],
            "Epochs": f"{status.epoch} of {status.epochs}",
            "Best IoU": _score(status.best.get("validation_iou")),
            "Data": str(run.stated["settings"]["images"]).rstrip("/").rpartition("/")[2],
            "Architecture": run.stated["settings"]["architecture"],
            "Took": _took(status),
            "Started": time.strftime("%d %b %H:%M", time.localtime(status.queued)),
        }
        for run, status in zip(found, statuses, strict=True)
    ]
    chosen = st.dataframe(
        rows, hide_index=True, on_select="rerun", selection_mode="multi-row", key="train_runs",
        height=min(260, 38 + 35 * len(rows)),
    )["selection"]["rows"]  # fmt: skip
    shown = [found[row] for row in chosen if row < len(found)][:_MOST_COMPARED]
    if shown:
        return shown
    started = st.session_state.get("train_run")
    return [next((run for run in found if run.folder.name == started), found[0])]


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _took(status: Status) -> str:
    if status.started is None:
        return ""
    return duration((status.ended or status.updated or status.started) - status.started)
