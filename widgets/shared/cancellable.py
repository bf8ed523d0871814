"""Work in the background that shows how far it is and can be cancelled."""

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

import streamlit as st

from core.compute.progress import Progress
from widgets.shared.background import Background
from widgets.shared.results import ResultStore, results

Result = TypeVar("Result")

PATIENCE = 0.4
"""Seconds to wait for work that may be quick before a bar is shown."""
_SECONDS_BETWEEN_LOOKS = 0.3
_WORKS = "_works"


class Cancelled(Exception):  # noqa: N818 - it is no error
    """The user wants no more of it."""


class Work:
    """One computation under way.

    Attributes:
        key: Of its result.
        done: Steps so far.
        total: Of so many.
    """

    def __init__(self, key: Hashable, compute: Callable[[Progress], object], store: ResultStore) -> None:
        self.key = key
        self.done, self.total = 0, 1
        self._cancelled = threading.Event()
        self._background = Background(lambda: store.get_or_compute(key, lambda: compute(self._report)))

    def cancel(self) -> None:
        """Stop at the next report of progress."""
        self._cancelled.set()

    @property
    def ended(self) -> bool:
        """Whether it ended, well or not."""
        return self._background.done

    def wait(self, seconds: float) -> None:
        """Until it ends, at most so long."""
        self._background.wait(seconds)

    def raise_error(self) -> None:
        """Raise what it ended with, if that was an error."""
        self._background.result()

    def _report(self, done: int, total: int) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self.done, self.total = done, total


def cancellable(
    name: str,
    key: Hashable,
    label: str,
    compute: Callable[[Progress], Result],
    parts: Callable[[], object] | None = None,
) -> Result | None:
    """The result under `key`; None while it is computed, under a bar with a Cancel button, and once it was cancelled.

    The page runs anew when the result is there.

    Args:
        name: Of the place on the page; one computation runs there at a time, another key cancels it.
        key: Of the result, for all sessions.
        label: What is counted, above the bar.
        compute: Does the work without drawing and reports its progress.
        parts: What there is of the result already; the page runs anew whenever that is something else, to show it.

    Raises:
        Whatever the work ended with.
    """
    works: dict[str, Work] = st.session_state.setdefault(_WORKS, {})
    work = works.get(name)
    if work is not None and work.key != key:
        work.cancel()
        del works[name]
        work = None
    if key not in results():
        if work is None:
            work = works[name] = Work(key, compute, results())
            work.wait(PATIENCE)
        if not work.ended:
            _follow(name, work, label, parts)
            return None
        try:
            work.raise_error()
        except Cancelled:
            st.info("Cancelled.", icon=":material/cancel:")
            st.button("Start again", key=f"again-{name}", icon=":material/replay:", on_click=_forget, args=(name,))
            return None
        except BaseException:
            del works[name]
            raise
    works.pop(name, None)
    return results().get_or_compute(key, lambda: compute(_unseen))


def _forget(name: str) -> None:
    st.session_state[_WORKS].pop(name, None)


def cancel_unless(name: str, belongs: Callable[[Hashable], bool]) -> None:
    """Cancel what is computed at a place that is not drawn now, unless its key belongs to what is asked now."""
    works: dict[str, Work] = st.session_state.setdefault(_WORKS, {})
    if name in works and not belongs(works[name].key):
        works.pop(name).cancel()


def _unseen(done: int, total: int) -> None:
    """For a result that another session pushed out of the store just now."""


def _follow(name: str, work: Work, label: str, parts: Callable[[], object] | None) -> None:
    shown = parts() if parts is not None else None

    @st.fragment(run_every=_SECONDS_BETWEEN_LOOKS)
    def look() -> None:
        if work.ended or (parts is not None and parts() != shown):
            st.rerun()
        columns = st.columns([6, 1], vertical_alignment="center")
        far = f"{label}: {work.done} of {work.total}" if work.done else f"{label}…"
        columns[0].progress(min(1.0, work.done / work.total), far)
        columns[1].button("Cancel", key=f"cancel-{name}", on_click=work.cancel, width="stretch")

    look()
