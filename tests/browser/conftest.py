"""One app and one browser for all browser tests of a process; a test that fails says what its page showed."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect

from tests.browser.app import PATIENCE, VIEWPORT, chromium, running_app

_SHOWN = """() => ({
    address: location.href,
    script: document.querySelector('[data-testid=stApp]')?.dataset.testScriptState,
    stale: document.querySelectorAll('[data-stale=true]').length,
    viewers: [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
        .map(host => host.shadowRoot?.querySelector('.viewer')?.viewer).filter(Boolean)
        .map(viewer => ({
            order: viewer.scene.order,
            panels: viewer.scene.panels.map(panel => [panel.title, panel.note]),
            missing: [...viewer.layers()].filter(layer => layer.waits || layer.url && !layer.picture)
                .map(layer => [layer.name, layer.array?.url ?? layer.url]),
        })),
    text: document.body.innerText.replace(/\\n+/g, ' | '),
})"""
_MOST_LINES = 60
_shown = pytest.StashKey[tuple[Page, list[str]]]()


@pytest.fixture(scope="session")
def address():
    with running_app() as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser, request):
    tab = browser.new_page(viewport=VIEWPORT)
    tab.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    said: list[str] = []
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"not caught: {error}"))
    tab.on("requestfailed", lambda asked: said.append(f"no answer: {asked.url} {asked.failure}"))
    request.node.stash[_shown] = tab, said
    yield tab
    tab.close()


def pytest_collection_modifyitems(items):
    """A browser test that fails is run once more: a browser on a busy machine may stall; what failed is told."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed and _shown in item.stash:
        tab, said = item.stash[_shown]
        try:
            shown = json.dumps(tab.evaluate(_SHOWN), indent=1, ensure_ascii=False)
        except Error as error:
            shown = str(error)
        report.sections += [("the page", shown), ("its console", "\n".join(said[-_MOST_LINES:]))]
    return report
