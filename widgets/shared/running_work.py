"""What this browser tab computes: its requests, and the bar at the foot of every page that shows them."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.compute.progress import About, AtMost, Hundredths
from core.display.words import duration

if TYPE_CHECKING:  # what it imports is slow to import, and the navigation need not wait for it
    from widgets.shared.results import Claim, Computation

SECONDS_BETWEEN_LOOKS = 0.3
_MOST_ROWS = 3
# On every page, also where nothing runs: the browser drops a style that came with the bar before the bar itself, which
# would stand at the head of the page meanwhile.
# The pages end above the bar, so that it covers nothing, and what they show stays where it is.
_STYLE = """
<style>
[data-testid=stLayoutWrapper]:has(> :is(.st-key-all-work, [class*=st-key-followed-], [class*=st-key-work-cancelled-])) {
  position: absolute;
}
.stApp:has(.st-key-running-work, [class*=st-key-work-cancelled-]) {
  --work-height: calc(var(--running-height, 0rem) + var(--cancelled-height, 0rem));
  [data-testid=stAppViewContainer] {bottom: var(--work-height)}
  :is([data-testid=stMain], [data-testid=stSidebar], div:has(> [data-testid=stMain])) {
    max-height: calc(100dvh - var(--work-height));
  }
}
.stApp:has(.st-key-running-work) {--running-height: 2.75rem}
.stApp:has(.st-key-running-work > :nth-child(2)) {--running-height: 5.5rem}
.stApp:has(.st-key-running-work > :nth-child(3)) {--running-height: 8.25rem}
.stApp:has([class*=st-key-work-cancelled-]) {--cancelled-height: 2.75rem}
:is(.st-key-running-work, [class*=st-key-work-cancelled-]) {
  position: fixed; inset: auto 0 0; width: 100%; z-index: 999995; border-top: 1px solid rgba(125,135,148,.35);
}
.st-key-running-work {height: var(--running-height); gap: 0; overflow: hidden}
.stApp [class*=st-key-work-cancelled-] {bottom: var(--running-height, 0rem)}
[class*=st-key-work-] {
  height: 2.75rem; min-height: 2.75rem; padding: 0 1rem; flex-wrap: nowrap; gap: .75rem; align-items: center;
}
[class*=st-key-work-] > * {flex: 0 0 auto}
[class*=st-key-work-] > :first-child {flex: 0 1 auto; min-width: 0}
[class*=st-key-work-] > :nth-child(2) {flex-grow: 1}
[class*=st-key-work-] [data-testid=stMarkdownContainer] {margin-bottom: 0}
[class*=st-key-work-] [data-testid=stMarkdownContainer] p {
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; margin: 0;
}
[class*=st-key-work-] button {min-height: 2rem; padding: 0 .75rem}
@media (max-width: 640px) {
  [class*=st-key-work-] > :has(.stProgress) {display: none}
  [class*=st-key-work-] [data-testid=stMarkdownContainer] p {
    white-space: normal; font-size: .75rem; line-height: 1.25;
  }
  [class*=st-key-work-] > :nth-child(2) {flex: 0 1 auto; min-width: 0}
}
</style>
"""


def tab_claims() -> "dict[str, Claim]":
    """The requests of this browser tab, by their place on a page."""
    return st.session_state.setdefault("_claims", {})


def tab_is_open() -> Callable[[], bool]:
    """Tells, from any thread, whether this browser tab is open."""
    context = get_script_run_ctx()
    if context is None:
        return lambda: True
    session = context.session_id
    return lambda: not runtime.exists() or bool(runtime.get_instance().is_active_session(session))


def show_running_work() -> None:
    """The bar with all work of this tab, that of other pages too; nothing where there is none. First on every page."""
    st.session_state["_bar_follows"] = bool(_shown())
    st.html(_STYLE)
    with st.container(key="all-work"):  # also where it stays empty: what comes after it keeps its place
        if _shown():
            _bar()


def bar_follows() -> bool:
    """Whether the bar that the last run of the page has drawn follows the work."""
    return st.session_state.get("_bar_follows", False)


def count_in_words(work: "Computation") -> str:
    """How far a computation is, e.g. "12 of 60, 8 s left"."""
    if not work.has_begun:
        return "waiting for other work to end"
    if not work.steps_done:
        return "has begun"
    if isinstance(work.steps, AtMost):  # far more than it may take, so it says nothing about the time
        return f"{work.steps_done:,}, at most {work.steps:,}"
    per_step = Hundredths.PER_STEP if isinstance(work.steps, Hundredths) else 1
    done, steps = work.steps_done // per_step, work.steps // per_step
    count = f"{done:,} of{' about' * isinstance(work.steps, About)} {steps:,}"
    left = work.seconds_left
    return count + (f", {duration(left)} left" if math.isfinite(left) else "")


def fraction_done(work: "Computation") -> float | None:
    """Share of the steps that are done; None where it is not known how many there are."""
    is_known = work.steps_done and not isinstance(work.steps, AtMost)
    return min(1.0, work.steps_done / work.steps) if is_known else None


def _shown() -> "dict[str, Claim]":
    return {place: claim for place, claim in tab_claims().items() if claim.label and claim.is_under_way}


@st.fragment(run_every=SECONDS_BETWEEN_LOOKS)
def _bar() -> None:
    claims = _shown()
    if not claims:
        st.rerun()
    rows = dict(list(claims.items())[:_MOST_ROWS])
    more = len(claims) - len(rows)
    with st.container(key="running-work"):
        for place, claim in rows.items():
            with st.container(key=f"work-{place}", horizontal=True, vertical_alignment="center"):
                last = place == list(rows)[-1]
                st.markdown(f"**{claim.label}**{f' and {more} more' if more and last else ''}", width="content")
                st.markdown(count_in_words(claim.computation), width="content")
                fraction = fraction_done(claim.computation)
                if fraction is not None:
                    st.progress(fraction, width=200)
                st.button("Cancel", key=f"cancel-{place}", on_click=_cancel, args=(place,))


def _cancel(place: str) -> None:
    """Cancel what is computed there when the button is pressed, which may be a later request than the one drawn."""
    if place in tab_claims():
        tab_claims()[place].cancel()
