"""Slow work on a page: what it would cost before it starts, then in the background, shown in the bar with Cancel."""

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import wait
from typing import Any

import streamlit as st

from widgets.shared.results import Claim, Report, Result, ResultStore, results
from widgets.shared.running_work import SECONDS_BETWEEN_LOOKS, bar_follows, tab_claims, tab_is_open

PATIENCE = 0.4
"""Seconds to wait for work that may be quick before the bar is shown."""
_SECONDS_UNTIL_BAR = 0.1


def start_button(
    result_key: Hashable,
    label: str,
    icon: str = "play_arrow",
    describe: Callable[[], object] | None = None,
    **options: Any,
) -> bool:
    """Whether this browser tab has started the work, or it is under way or done; else a button that starts it.

    `describe` shows above the button what the work would cost; the options are those of `st.button`.
    """
    started: set[Hashable] = st.session_state.setdefault("_started", set())
    if result_key in started or result_key in results() or results().is_under_way(result_key):
        started.add(result_key)  # a page that was reloaded takes up what it had started
        return True
    if describe is not None:
        describe()
    st.button(label, icon=f":material/{icon}:", on_click=started.add, args=(result_key,), **options)
    return False


def compute_in_background(
    place: str,
    key: Hashable,
    label: str,
    compute: Callable[[Report], Result],
    parts: Callable[[], object] = lambda: None,
    again: str = "Start again",
) -> Result | None:
    """The result under `key`; None while it is computed, shown in the bar with Cancel, and once it was cancelled.

    The page reruns when the result is there. The work goes on while the user is on another page, and ends when the
    tab is closed.

    Args:
        place: Name of a place on the page. One computation runs there at a time; another key cancels it.
        key: Key of the result, for all sessions.
        label: What is computed, and counted, in the bar.
        compute: Does the work without drawing and reports its progress.
        parts: Returns what is there of the result already; the page reruns to show it whenever that changes.
        again: Label of the button that takes cancelled work up.

    Raises:
        Whatever the work ended with.
    """
    claim = request(place, key, compute, label)
    wait([claim.computation], 0 if claim.is_cancelled else max(0.0, PATIENCE - claim.computation.seconds))
    if claim.is_cancelled:
        _show_cancelled(place, label, again)
        return None
    if not claim.computation.done():
        follow(place, claim, lambda: (claim.is_under_way, parts()), (True, parts()))
        return None
    forget(place)
    return claim.computation.result()


def request(
    place: str,
    key: Hashable,
    compute: Callable[[Report], Result],
    label: str = "",
    store: ResultStore | None = None,
) -> Claim[Result]:
    """This browser tab's claim on the result under `key`, kept until another key is requested at that place.

    Args:
        place: As in `compute_in_background`.
        key: As there.
        compute: As there.
        label: As there; work without one is not shown.
        store: The store of the result; None takes `results()`.
    """
    cancel_unless(place, lambda other: other == key)
    if place not in tab_claims() or tab_claims()[place].is_lost:
        tab_claims()[place] = (store or results()).start(key, compute, label, tab_is_open())
    return tab_claims()[place]


def cancel_unless(place: str, belongs: Callable[[Hashable], bool]) -> None:
    """Cancel the computation at a place unless its key `belongs` to what the page shows now."""
    if place in tab_claims() and not belongs(tab_claims()[place].key):
        tab_claims().pop(place).cancel()


def cancel_others(question: Hashable | None, places: Iterable[str]) -> None:
    """Cancel what is computed at places for another question, which the second part of its key tells; None: all."""
    for place in places:
        cancel_unless(place, lambda key: isinstance(key, tuple) and question is not None and key[1] == question)


def forget(place: str) -> None:
    """Let a place be free for another request."""
    tab_claims().pop(place, None)


def part_at(place: str) -> Any:
    """What the work requested at a place has shown of its result so far, also after it was cancelled; else None."""
    claim = tab_claims().get(place)
    return claim and claim.computation.part


def was_cancelled(place: str) -> bool:
    """Whether the user has cancelled the work requested at a place."""
    claim = tab_claims().get(place)
    return claim is not None and claim.is_cancelled


def follow(place: str, claim: Claim, state: Callable[[], object], shown: object) -> None:
    """Run the page again when the `state` is no longer the one `shown`, and see to it that the bar shows the work."""
    is_first = True
    has_bar = bar_follows() or not claim.label  # work that has begun after the bar was drawn is shown by the next run

    @st.fragment(run_every=SECONDS_BETWEEN_LOOKS if has_bar else _SECONDS_UNTIL_BAR)
    def look() -> None:
        nonlocal is_first
        if state() != shown or not (has_bar or is_first):
            st.rerun()
        is_first = False

    with st.container(key=f"followed-{place}"):
        look()


def _show_cancelled(place: str, label: str, again: str) -> None:
    """Where the work cancelled at a place had its bar: that it was, and a button that takes it up."""
    with st.container(key=f"work-cancelled-{place}", horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{label}**", width="content")
        st.markdown("Cancelled.", width="content")
        st.button(again, key=f"again-{place}", icon=":material/replay:", on_click=forget, args=(place,))
