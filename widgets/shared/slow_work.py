"""Slow work on a page: what it would cost before it starts, then in the background under a bar with Cancel."""

from collections.abc import Callable, Hashable
from concurrent.futures import wait
from typing import Any

import streamlit as st

from core.compute.progress import Progress
from core.display.words import duration
from widgets.shared.results import Claim, Result, results

PATIENCE = 0.4
"""Seconds to wait for work that may be quick before a bar is shown."""
_SECONDS_BETWEEN_LOOKS = 0.3


def start_button(
    result_key: Hashable,
    label: str,
    icon: str = "play_arrow",
    describe: Callable[[], object] | None = None,
    **options: Any,
) -> bool:
    """Whether this browser tab has started the work, or its result is there; else a button that starts it.

    `describe` shows above the button what the work would cost; the options are those of `st.button`.
    """
    started: set[Hashable] = st.session_state.setdefault("_started", set())
    if result_key in started or result_key in results():
        return True
    if describe is not None:
        describe()
    st.button(label, icon=f":material/{icon}:", on_click=started.add, args=(result_key,), **options)
    return False


def compute_in_background(
    place: str,
    key: Hashable,
    label: str,
    compute: Callable[[Progress], Result],
    parts: Callable[[], object] | None = None,
) -> Result | None:
    """The result under `key`; None while it is computed, under a bar with a Cancel button, and once it was cancelled.

    The page reruns when the result is there. The work goes on while the user is on another page.

    Args:
        place: Name of a place on the page. One computation runs there at a time; another key cancels it.
        key: Key of the result, for all sessions.
        label: What is counted, above the bar.
        compute: Does the work without drawing and reports its progress.
        parts: Returns what is there of the result already; the page reruns to show it whenever that changes.

    Raises:
        Whatever the work ended with.
    """
    claim = request(place, key, compute)
    wait([claim.computation], max(0.0, PATIENCE - claim.computation.seconds))
    if claim.is_cancelled:
        st.info("Cancelled.", icon=":material/cancel:")
        st.button("Start again", key=f"again-{place}", icon=":material/replay:", on_click=_forget, args=(place,))
        return None
    if not claim.computation.done():
        _follow(place, claim, label, parts)
        return None
    _forget(place)
    return claim.computation.result()


def request(place: str, key: Hashable, compute: Callable[[Progress], Result]) -> Claim[Result]:
    """This browser tab's claim on the result under `key`, kept until another key is requested at that place."""
    cancel_unless(place, lambda other: other == key)
    if place not in _claims():
        _claims()[place] = results().start(key, compute)
    return _claims()[place]


def cancel_unless(place: str, belongs: Callable[[Hashable], bool]) -> None:
    """Cancel the computation at a place unless its key `belongs` to what the page shows now."""
    if place in _claims() and not belongs(_claims()[place].key):
        _claims().pop(place).cancel()


def _claims() -> dict[str, Claim]:
    return st.session_state.setdefault("_claims", {})


def _forget(place: str) -> None:
    _claims().pop(place, None)


def _follow(place: str, claim: Claim, label: str, parts: Callable[[], object] | None) -> None:
    shown, work = parts and parts(), claim.computation

    @st.fragment(run_every=_SECONDS_BETWEEN_LOOKS)
    def look() -> None:
        if work.done() or claim.is_cancelled or (parts is not None and parts() != shown):
            st.rerun()
        progress = f"{label}: {work.steps_done} of {work.steps}, {duration(work.seconds_left)} left"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(min(1.0, work.steps_done / work.steps), progress if work.steps_done else f"{label}…")
            st.button("Cancel", key=f"cancel-{place}", on_click=claim.cancel)

    look()
