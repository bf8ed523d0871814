"""What becomes an entry of the browser's history, in a page that has not come to rest."""

import pytest

from tests.browser.viewer import Viewer
from widgets.shared.header import HISTORY_SCRIPT

pytestmark = pytest.mark.browser

RUNNING = '<div data-testid="stApp" data-test-script-state="running">A page that runs</div>'


def test_a_pixel_chosen_before_the_page_rests_is_an_entry_and_what_the_page_fills_in_is_none(page, address):
    page.goto(f"{address}/_stcore/health")
    page.set_content(RUNNING)
    page.evaluate(HISTORY_SCRIPT)
    start = page.evaluate("history.length")

    def entries(state: dict[str, bool], query: str) -> int:
        page.evaluate("([state, query]) => history.pushState(state, '', query)", [state, query])
        return int(page.evaluate("history.length")) - start

    assert entries({}, "?model=one") == 0
    page.get_by_text("A page that runs").click()
    assert entries({}, "?model=one&image=two") == 0, "the page fills it in"
    assert entries({"isChosen": True}, "?model=one&image=two&row=3") == 1, "a hand chose it"
    assert entries({}, "?model=one&image=two&row=3&class=4") == 1
    page.get_by_text("A page that runs").click()
    assert entries({"isChosen": True}, "?model=one&image=two&row=3&class=4&layer=5") == 1, "Back could not undo it"
    page.go_back()
    assert page.evaluate("location.search") == "?model=one&image=two"


def test_a_page_that_went_blank_is_loaded_again_where_it_was(page, address):
    page.goto(f"{address}/?image=formats/not_square&row=61&column=99")
    Viewer(page).wait()
    page.evaluate("() => document.getElementById('root').replaceChildren()")  # what React does where Streamlit fails
    viewer = Viewer(page).wait_for_size(200, 312).wait()
    assert viewer.run("viewer.scene.pixel") == [61, 99]
