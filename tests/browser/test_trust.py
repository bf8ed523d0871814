"""The Trust page in a real Chromium: maps one after another, one of them large, tests, cancel, agreement, sanity."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core import Target, load_segmenter, read_image
from core.attribution.registry import explain, importance, quick_settings
from core.trust.controls import controls
from tests.browser.app import ROOT, eventually, heat_map, wait_for_rest

pytestmark = pytest.mark.browser

SCENE = ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"
QUERY = "?model=scenes&image=scenes/scene_00&class=car&over=Sum&trust_percentile=100&layer=decoder.1"
CHEAP = "&methods=Gradient&methods=LayerCAM&metrics=Deletion&metrics=Leakage&test_steps=2&stages=2"
CAR = 5


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(SCENE)


@pytest.fixture(scope="module")
def target(segmenter, image):
    return Target.region(segmenter.predict(image).labels == CAR, CAR)


def open_trust(page: Page, address: str, query: str) -> None:
    page.goto(f"{address}/trust{query}")
    page.get_by_text("Explained:").wait_for()


def at_rest(page: Page) -> None:
    """Until nothing is computed and no run is under way."""
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    wait_for_rest(page)


def open_tab(page: Page, name: str) -> None:
    tab = page.get_by_role("tab", name=name)
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")
    at_rest(page)


def show(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Show {title}", exact=True).click()
    page.locator(f"button[aria-pressed=true][aria-label='Show {title}']").wait_for()
    at_rest(page)


def traces(page: Page, kind: str) -> list[dict]:
    """All traces of a kind in the figures on screen."""
    return page.evaluate(
        """kind => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)
            .filter(trace => trace.type === kind).map(({name, line, x}) => ({name, line, x}))""",
        kind,
    )


def check_curves(page: Page) -> None:
    """A curve for each of the six maps in both metrics, those of the controls dashed."""
    drawn = [(curve["name"], curve["line"].get("dash", "solid")) for curve in traces(page, "scatter")]
    assert len(drawn) == 12
    assert {name for name, dash in drawn if dash != "solid"} == {
        "Random", "Blurred random", "Edge detector", "Distance to the target",
    }  # fmt: skip


def check_agreement(page: Page) -> None:
    assert len(traces(page, "heatmap")[0]["x"]) == 6


def check_map(page: Page, expected: np.ndarray, tolerance: float) -> None:
    """The values of the large map as the browser has them."""
    eventually(page, lambda: np.testing.assert_allclose(heat_map(page)[0], expected, atol=tolerance))


def test_maps_tests_agreement_and_sanity(page, address, segmenter, image, target):
    open_trust(page, address, QUERY + CHEAP)
    at_rest(page)
    page.locator("button[data-name=layer_cam] img").wait_for()
    tiles = page.locator("button[data-name]")
    assert [tile.get_attribute("data-name") for tile in tiles.all()] == [
        "gradient", "layer_cam", "random", "blurred_random", "edges", "centre_distance",
    ]  # fmt: skip
    settings = quick_settings() | {"layer": "decoder.1"}
    for title, name in (("LayerCAM", "layer_cam"), ("Gradient", "gradient")):
        show(page, title)
        expected = importance(explain(segmenter, image, target, name, settings))
        check_map(page, expected, 1e-4 * float(expected.max()))
    show(page, "Edge detector")
    check_map(page, controls(image, target)["edges"], 1e-6)
    assert "shown=edges" in page.url

    open_tab(page, "Tests")
    page.get_by_role("button", name="Run the tests").click()
    page.get_by_text(re.compile("methods? beats? every control|none of the 2 methods")).wait_for()
    at_rest(page)
    expect(page.locator(".trust-table tbody tr")).to_have_count(6)
    expect(page.locator(".trust-table tr.control")).to_have_count(4)
    eventually(page, lambda: check_curves(page))
    with page.expect_download() as download:
        page.get_by_role("button", name="Table (.csv)").click()
    assert len(download.value.path().read_text().splitlines()) == 7

    open_tab(page, "Agreement")
    eventually(page, lambda: check_agreement(page))

    open_tab(page, "Sanity check")
    page.get_by_role("button", name="Run the sanity check").click()
    page.get_by_text(re.compile("Gradient (passes|fails|cannot be judged)")).wait_for()
    at_rest(page)
    page.get_by_text(re.compile(r"Stage \d")).nth(1).wait_for()

    # What was found is there at once on another way to it, and the address holds the way.
    page.reload()
    page.get_by_text(re.compile("Gradient (passes|fails|cannot be judged)")).wait_for()


def test_the_page_is_usable_while_maps_are_computed_and_cancelled(page, address):
    open_trust(page, address, f"{QUERY}&methods=Gradient&methods=Occlusion&patch=8&patch_step=4&over=Mean")
    page.get_by_role("button", name="Show Gradient", exact=True).wait_for()
    page.locator("button[data-name=gradient] img").wait_for()
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    assert cancel.count() == 1
    assert page.locator("button[data-name=occlusion]").is_disabled()
    page.get_by_role("button", name="Show Random", exact=True).click()
    page.locator("button[aria-pressed=true][data-name=random]").wait_for()
    page.get_by_text(re.compile(r"Passes of the network: [1-9]\d* of \d+")).wait_for()
    cancel.click()
    page.get_by_role("button", name="Start again").wait_for()
    assert page.locator("button[data-name=occlusion]").is_disabled()
    open_tab(page, "Tests")
    page.get_by_text("The tests can start when all maps are there.").wait_for()
