"""The bar of the work under way, and how a page and its tab come by what is computed."""

import itertools
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.compute.progress import About, AtMost, Hundredths
from widgets.shared import results as results_module
from widgets.shared import slow_work
from widgets.shared.results import Computation, results
from widgets.shared.running_work import count_in_words, fraction_done

SECONDS = 60


def counted(*reports: tuple[int, int]) -> Computation:
    work: Computation = Computation()
    work.has_begun = True
    for report in reports:
        work.count(*report)
    return work


@pytest.fixture
def clock(monkeypatch):
    """Ten seconds pass from one look at the clock to the next."""
    monkeypatch.setattr(results_module, "time", SimpleNamespace(monotonic=itertools.count(0, 10).__next__))


def test_a_count_says_what_is_known(clock):
    assert count_in_words(Computation()) == "waiting for other work to end"
    assert count_in_words(counted((0, 60))) == "has begun"
    assert count_in_words(counted((12, 1060))) == "12 of 1,060"
    assert count_in_words(counted((12, 60), (36, 60))) == "36 of 60, 10 s left"
    images = counted((25, Hundredths(800)), (325, Hundredths(800)))
    assert count_in_words(images) == "3 of 8, 16 s left"
    assert fraction_done(images) == 325 / 800
    assert count_in_words(counted((12, 60), (13, 60))) == "13 of 60", "one step says little about the next"


def test_a_bound_is_called_one_and_fills_no_bar(clock):
    work = counted((16, AtMost(600)))
    assert count_in_words(work) == "16, at most 600"
    assert fraction_done(work) is None
    assert fraction_done(counted((15, 60))) == 0.25
    assert count_in_words(counted((8, AtMost(600)), (16, AtMost(600)))) == "16, at most 600", "it may end far sooner"
    assert count_in_words(counted((8, AtMost(600)), (28, About(48)))) == "28 of about 48, 10 s left"


def _page() -> None:
    """A page with the bar, as main.py draws it, and work that waits for the test."""
    import streamlit as st

    from tests.widgets.shared import test_running_work
    from widgets.shared.running_work import show_running_work
    from widgets.shared.slow_work import compute_in_background, start_button

    show_running_work()
    key, work = st.session_state["key"], test_running_work.WORKS[st.session_state["key"]]
    if st.session_state.get("elsewhere"):
        st.title("another page")
    elif start_button(key, "Begin"):
        st.text(compute_in_background("place", key, "Stones, turned", work))


class Turning:
    """Work of four steps, of which two are done when `is_half` is set."""

    def __init__(self) -> None:
        self.count, self.is_half, self.go_on = 0, threading.Event(), threading.Event()

    def __call__(self, progress: Any) -> str:
        self.count += 1
        progress(1, 4)
        progress(2, 4)
        self.is_half.set()
        assert self.go_on.wait(SECONDS)
        progress(3, 4)
        return "all turned"


WORKS: dict[str, Turning] = {}


@pytest.fixture
def work(request, monkeypatch):
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    work = WORKS[request.node.name] = Turning()
    yield work
    work.go_on.set()


def tab(key: str) -> AppTest:
    page = AppTest.from_function(_page, default_timeout=SECONDS)
    page.session_state["key"] = key
    return page.run()


def shown(page: AppTest) -> str:
    assert not page.exception
    return " ".join(text.value for text in page.markdown)


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def test_work_is_shown_on_every_page_until_it_is_done(work, request, monkeypatch):
    page = tab(request.node.name)
    assert "Stones" not in shown(page)
    press(page, "Begin")
    assert work.is_half.wait(SECONDS)
    page.session_state["elsewhere"] = True
    page.run()
    assert page.title
    assert "**Stones, turned** 2 of 4" in shown(page)
    assert [button.label for button in page.button] == ["Cancel"]
    claim = page.session_state["_claims"]["place"]
    work.go_on.set()
    assert claim.computation.result(SECONDS) == "all turned"
    page.session_state["elsewhere"] = False
    page.run()
    assert "Stones" not in shown(page)
    assert [text.value for text in page.text] == ["all turned"]


def test_cancel_leaves_start_again(work, request):
    page = press(tab(request.node.name), "Begin")
    assert work.is_half.wait(SECONDS)
    press(page.run(), "Cancel")
    page.run()
    assert "**Stones, turned** Cancelled." in shown(page)
    assert [button.label for button in page.button] == ["Start again"]
    work.go_on.set()
    press(page, "Start again")
    page.session_state["_claims"]["place"].computation.result(SECONDS)
    assert [text.value for text in page.run().text] == ["all turned"]


def test_cancel_is_of_the_request_that_has_taken_the_place_of_the_one_drawn(work, request):
    """A page asks anew at the same place while its bar still shows the request before."""
    page = press(tab(request.node.name), "Begin")
    assert work.is_half.wait(SECONDS)
    page.run()
    claims = page.session_state["_claims"]
    drawn = claims["place"]
    claims["place"] = results().start(drawn.key, work, drawn.label)
    press(page, "Cancel")
    assert claims["place"].is_cancelled


def test_a_reloaded_page_and_a_second_tab_take_part_in_what_is_under_way(work, request):
    first = press(tab(request.node.name), "Begin")
    assert work.is_half.wait(SECONDS)
    second = tab(request.node.name)
    assert not any(button.label == "Begin" for button in second.button)
    assert "2 of 4" in shown(second.run())
    press(second, "Cancel")
    assert results().is_under_way(request.node.name), "the first tab still wants it"
    work.go_on.set()
    first.session_state["_claims"]["place"].computation.result(SECONDS)
    assert [text.value for text in first.run().text] == ["all turned"]
    assert work.count == 1


def test_a_tab_that_was_away_for_long_starts_its_work_again(work, request):
    page = press(tab(request.node.name), "Begin")
    assert work.is_half.wait(SECONDS)
    claim = page.session_state["_claims"]["place"]
    claim.is_open = lambda: False
    results()._grace, grace = 0, results()._grace
    work.go_on.set()
    try:
        assert claim.computation.exception(SECONDS) is not None
    finally:
        results()._grace = grace
    page.run()
    assert "Cancelled." not in shown(page), "the user has cancelled nothing"
    assert page.session_state["_claims"]["place"].computation.result(SECONDS) == "all turned"
    assert work.count == 2
