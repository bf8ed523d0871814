import pytest
from playwright.sync_api import expect

from tests.browser.app import PATIENCE, VIEWPORT, chromium, running_app


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
    tab.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield tab
    tab.close()
