"""Work ends with the tab that wants it: the processor time of a server of its own, and what a reload takes up."""

import re
import time
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.app import PATIENCE, eventually, open_by_side_bar, running_app
from tests.browser.sessions import server_at

WORK = "/integrated_gradients?image=vessels/phantom_00&steps_are=Fixed&steps=300&explain=Class"
STEPS = 300


@pytest.fixture(scope="module")
def own_app() -> Iterator[str]:
    """Nobody else's work runs in it."""
    with running_app() as address:
        yield address


def open_work(page: Page, address: str) -> int:
    """Open the page and give the number of steps done when the bar first tells it."""
    page.goto(address + WORK)
    return steps_done(page)


def steps_done(page: Page, above: int = 0) -> int:
    def read() -> int:
        found = re.search(rf"(\d+) of {STEPS}, .* left", page.locator("[class*=st-key-work-]").first.inner_text())
        assert found is not None
        assert int(found[1]) > above
        return int(found[1])

    return eventually(page, read)


def processor_seconds(server: psutil.Process) -> float:
    return sum(server.cpu_times()[:2])


def seconds_until_idle(server: psutil.Process, since: float) -> float:
    """Processor seconds that the server uses until it uses hardly any for half a second, beyond the `since` before.

    Not the time of a clock, which other work on the machine would lengthen.
    """
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        before = processor_seconds(server)
        time.sleep(0.5)
        if processor_seconds(server) - before < 0.1:
            return before - since
    raise AssertionError("The server is busy.")


def test_work_ends_with_its_tab_and_a_reload_takes_it_up(browser: Browser, own_app: str):
    server = server_at(own_app)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE)
    open_work(page, own_app)
    title = page.get_by_role("heading", name="What makes the difference?")
    place = title.bounding_box()
    bar = page.locator("[class*=st-key-running-work]").first.bounding_box()
    main = page.get_by_test_id("stMain").bounding_box()
    assert bar is not None
    assert main is not None
    assert main["y"] + main["height"] <= bar["y"] + 1, "the bar covers nothing"

    done = steps_done(page)
    page.reload()
    assert steps_done(page) >= done, "a reload takes part in the same computation"

    open_by_side_bar(page, "Class activation maps")
    page.get_by_role("heading", name="Class activation maps").wait_for()
    steps_done(page, above=done)
    open_by_side_bar(page, "Integrated Gradients")
    title.wait_for()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.wait_for()
    used = processor_seconds(server)
    cancel.click()
    page.get_by_text("Cancelled.").wait_for()
    assert seconds_until_idle(server, used) < 5
    assert title.bounding_box() == place, "the page keeps its place when the bar comes and goes"

    page.get_by_role("button", name="Start again").click()
    steps_done(page)
    used = processor_seconds(server)
    page.close()
    assert seconds_until_idle(server, used) < 5
