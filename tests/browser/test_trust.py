"""The Trust page in a real Chromium: maps one after another, one of them large, tests, cancel, agreement, sanity."""

import base64
import re

import numpy as np
import pytest
from playwright.sync_api import Page

from core import Target, load_segmenter, read_image
from core.attribution.registry import explain, importance, quick_settings
from core.trust.controls import controls
from tests.browser.app import ROOT

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
    page.get_by_text("Explained:").wait_for(timeout=90_000)


def at_rest(page: Page) -> None:
    """Until nothing is computed and no run is under way."""
    page.wait_for_timeout(300)
    page.wait_for_function(
        """() => !document.querySelector('[data-stale=true]') &&
            ![...document.querySelectorAll('button')].some(button => button.innerText.trim() === 'Cancel')""",
        timeout=90_000,
    )
    page.wait_for_timeout(400)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    page.wait_for_timeout(300)
    at_rest(page)


def show(page: Page, title: str) -> None:
    page.get_by_role("button", name=f"Show {title}", exact=True).click()
    page.locator(f"button[aria-pressed=true][aria-label='Show {title}']").wait_for(timeout=30_000)
    at_rest(page)


def traces(page: Page, kind: str) -> list[dict]:
    """All traces of a kind in the figures on screen."""
    return page.evaluate(
        """kind => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)
            .filter(trace => trace.type === kind).map(({name, line, x}) => ({name, line, x}))""",
        kind,
    )


def shown_map(page: Page) -> np.ndarray:
    """The values of the large map as the browser has them."""
    heat = page.evaluate(
        """() => {
            const heat = [...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.data[0])
                .find(trace => trace.type === 'heatmap')
            return {bytes: heat.z.bdata, type: heat.z.dtype, shape: heat.z.shape}
        }"""
    )
    values = np.frombuffer(base64.b64decode(heat["bytes"]), dtype=heat["type"])
    return values.reshape([int(n) for n in heat["shape"].split(",")])


def test_maps_tests_agreement_and_sanity(page, address, segmenter, image, target):
    open_trust(page, address, QUERY + CHEAP)
    at_rest(page)
    page.locator("button[data-name=layer_cam] img").wait_for(timeout=60_000)
    tiles = page.locator("button[data-name]")
    assert [tile.get_attribute("data-name") for tile in tiles.all()] == [
        "gradient", "layer_cam", "random", "blurred_random", "edges", "centre_distance",
    ]  # fmt: skip
    settings = quick_settings() | {"layer": "decoder.1"}
    for title, name in (("LayerCAM", "layer_cam"), ("Gradient", "gradient")):
        show(page, title)
        expected = importance(explain(segmenter, image, target, name, settings))
        np.testing.assert_allclose(shown_map(page), expected, atol=1e-4 * float(expected.max()))
    show(page, "Edge detector")
    np.testing.assert_allclose(shown_map(page), controls(image, target)["edges"], atol=1e-6)
    assert "shown=edges" in page.url

    open_tab(page, "Tests")
    page.get_by_role("button", name="Run the tests").click()
    page.get_by_text(re.compile("methods? beats? every control|none of the 2 methods")).wait_for(timeout=90_000)
    at_rest(page)
    assert page.locator(".trust-table tbody tr").count() == 6
    assert page.locator(".trust-table tr.control").count() == 4
    drawn = [(curve["name"], curve["line"].get("dash", "solid")) for curve in traces(page, "scatter")]
    assert len(drawn) == 12
    assert {name for name, dash in drawn if dash != "solid"} == {
        "Random", "Blurred random", "Edge detector", "Distance to the target",
    }  # fmt: skip
    with page.expect_download() as download:
        page.get_by_role("button", name="Table (.csv)").click()
    assert len(download.value.path().read_text().splitlines()) == 7

    open_tab(page, "Agreement")
    assert len(traces(page, "heatmap")[0]["x"]) == 6

    open_tab(page, "Sanity check")
    page.get_by_role("button", name="Run the sanity check").click()
    page.get_by_text(re.compile("Gradient (passes|fails|cannot be judged)")).wait_for(timeout=90_000)
    at_rest(page)
    assert page.get_by_text(re.compile(r"Stage \d")).count() >= 2

    # What was found is there at once on another way to it, and the address holds the way.
    page.reload()
    page.get_by_text(re.compile("Gradient (passes|fails|cannot be judged)")).wait_for(timeout=60_000)


def test_the_page_is_usable_while_maps_are_computed_and_cancelled(page, address):
    open_trust(page, address, f"{QUERY}&methods=Gradient&methods=Occlusion&patch=8&patch_step=4&over=Mean")
    page.get_by_role("button", name="Show Gradient", exact=True).wait_for(timeout=60_000)
    page.locator("button[data-name=gradient] img").wait_for(timeout=60_000)
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    assert cancel.count() == 1
    assert page.locator("button[data-name=occlusion]").is_disabled()
    page.get_by_role("button", name="Show Random", exact=True).click()
    page.locator("button[aria-pressed=true][data-name=random]").wait_for(timeout=30_000)
    page.get_by_text(re.compile(r"Passes of the network: [1-9]\d* of \d+")).wait_for(timeout=30_000)
    cancel.click()
    page.get_by_role("button", name="Start again").wait_for(timeout=30_000)
    assert page.locator("button[data-name=occlusion]").is_disabled()
    open_tab(page, "Tests")
    page.get_by_text("The tests can start when all maps are there.").wait_for(timeout=30_000)
