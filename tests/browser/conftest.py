import pytest

from tests.browser.app import VIEWPORT, chromium, running_app


@pytest.fixture(scope="session")
def address():
    with running_app() as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser):
    tab = browser.new_page(viewport=VIEWPORT)
    yield tab
    tab.close()
