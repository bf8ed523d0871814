"""The Trust page in a real Chromium: maps one after another, one of them large, tests, cancel, agreement, sanity."""

import re

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from core import Target, load_segmenter, read_image
from core.attribution.registry import explain, importance, quick_settings
from core.trust.controls import controls
from tests.browser.app import ROOT, eventually, wait_for_rest
from tests.pages.viewer_data import value_of

pytestmark = pytest.mark.browser

SCENE = ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"
QUERY = "?model=scenes&image=scenes/scene_00&class=car&over=Sum&trust_percentile=100&layer=decoder.1&tab=Maps"
CHEAP = "&shown=gradient&methods=Gradient&methods=LayerCAM&metrics=Deletion&metrics=Leakage&test_steps=2&stages=2"
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


def small(page: Page, name: str) -> Locator:
    """The small panel of a map."""
    return page.locator(f".viewer.compact canvas[data-panel={name}]")


def large(page: Page, title: str) -> Locator:
    """The panel with the map that is shown large."""
    return page.locator(f".viewer:not(.compact) canvas[data-panel='{title}']")


def values_of(panel: Locator) -> np.ndarray:
    """The values of a panel's map as the browser has them."""
    values, size = panel.evaluate(
        """canvas => {
            const {viewer} = canvas.closest('.viewer'), {layers} = viewer.scene.panels.find(
                panel => panel.name === canvas.dataset.panel)
            return [Array.from(layers[layers.length - 1].map.signed), viewer.scene.size]
        }"""
    )
    return np.array(values).reshape(size)


def zooms(page: Page) -> list[tuple[float, float, float]]:
    """The zoom and the centre (row, column) of all viewers."""
    return [
        tuple(found)
        for found in page.locator(".viewer").evaluate_all(
            "roots => roots.map(({viewer}) => [viewer.zoom, ...viewer.centre])"
        )
    ]


def last_tick(panel: Locator) -> str:
    """Where the colour bar of a panel ends."""
    return panel.locator("xpath=ancestor::figure").locator(".ticks span").last.inner_text().removeprefix("≥ ")


def traces(page: Page, kind: str) -> list[dict]:
    """All traces of a kind in the figures on screen."""
    return page.evaluate(
        """kind => [...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot.data)
            .filter(trace => trace.type === kind).map(({name, line, x}) => ({name, line, x}))""",
        kind,
    )


def check_curves(page: Page) -> None:
    """A curve for each of the six maps, those of the controls dashed."""
    drawn = [(curve["name"], curve["line"].get("dash", "solid")) for curve in traces(page, "scatter")]
    assert len(drawn) == 6
    assert {name for name, dash in drawn if dash != "solid"} == {
        "Random", "Blurred random", "Edge detector", "Distance to the target",
    }  # fmt: skip


def check_agreement(page: Page) -> None:
    assert len(traces(page, "heatmap")[0]["x"]) == 6


def check_map(page: Page, title: str, expected: np.ndarray, tolerance: float) -> None:
    """The values of the large map as the browser has them."""
    eventually(page, lambda: np.testing.assert_allclose(values_of(large(page, title)), expected, atol=tolerance))


def test_maps_tests_agreement_and_sanity(page, address, segmenter, image, target):
    open_trust(page, address, QUERY + CHEAP)
    at_rest(page)
    page.get_by_text(re.compile("On this target (. of 2 maps|all 2 maps|no map)")).wait_for()
    panels = page.locator(".viewer.compact canvas[data-panel]")
    small(page, "layer_cam").wait_for()
    assert [panel.get_attribute("data-panel") for panel in panels.all()] == [
        "gradient", "layer_cam", "random", "blurred_random", "edges", "centre_distance",
    ]  # fmt: skip
    settings = quick_settings() | {"layer": "decoder.1"}
    for title, name in (("LayerCAM", "layer_cam"), ("Gradient", "gradient")):
        small(page, name).click()
        expected = importance(explain(segmenter, image, target, name, settings))
        check_map(page, title, expected, 1e-4 * float(expected.max()))
        expect(small(page, name)).to_have_attribute("aria-pressed", "true")
    small(page, "edges").focus()
    page.keyboard.press("Enter")
    check_map(page, "Edge detector", controls(image, target)["edges"], 1e-6)
    eventually(page, lambda: check_address(page, "shown=edges"))
    at_rest(page)

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
    page.locator(".viewer.compact[data-ready=true] canvas[data-panel='Stage 2, prediction']").wait_for()

    # What was found is there at once on another way to it, and the address holds the way.
    page.reload()
    page.get_by_text(re.compile("Gradient (passes|fails|cannot be judged)")).wait_for()


def check_address(page: Page, text: str) -> None:
    assert text in page.url


def test_zoomed_in_one_panel_all_follow_and_the_values_are_read_off(page, address, segmenter, image, target):
    open_trust(page, address, QUERY + CHEAP)
    at_rest(page)
    page.locator(".viewer.compact[data-ready=true]").wait_for()
    panel = small(page, "gradient")
    panel.hover()
    frame = panel.bounding_box()
    assert frame is not None
    # Wheels turn at whole CSS pixels.
    at_x, at_y = round(frame["x"] + 0.3 * frame["width"]), round(frame["y"] + 0.6 * frame["height"])
    x, y = at_x - frame["x"], at_y - frame["y"]
    page.mouse.move(at_x, at_y)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -60)
    page.keyboard.up("Control")

    def zoomed() -> None:
        found = zooms(page)
        assert len(found) == 2
        assert found[0] == pytest.approx(found[1])
        assert found[0][0] == pytest.approx(np.exp(0.6))

    eventually(page, zoomed)
    # What lies under the pointer stays there: (1 - 1/zoom) of the way from the edge to the pointer is cut off.
    height, width = image.shape[1:]
    zoom, row, column = zooms(page)[0]
    scale = min(frame["width"] / width, frame["height"] / height)
    assert column == pytest.approx(width / 2 + (x - frame["width"] / 2) / scale * (1 - 1 / zoom), abs=0.6)
    page.mouse.move(at_x + 1, at_y)
    words = page.locator(".viewer.compact .readout")
    expect(words).to_contain_text("Gradient")
    found = re.fullmatch(r"row (\d+), column (\d+)\s*Gradient\s*value (\S+)", " ".join(words.inner_text().split()))
    assert found is not None
    expected = importance(explain(segmenter, image, target, "gradient"))
    at = int(found[1]), int(found[2])
    assert at == (
        int(row + (y - frame["height"] / 2) / scale / zoom),
        int(column + (x + 1 - frame["width"] / 2) / scale / zoom),
    )
    assert value_of(found[3]) == pytest.approx(float(expected[at]), rel=2e-3, abs=1e-6 * float(expected.max()))
    page.keyboard.press("Tab")
    panel.focus()
    page.keyboard.press("0")
    eventually(page, lambda: check_fit(page))


def check_waiting(page: Page) -> None:
    """The map that is still computed has a panel, which cannot be chosen."""
    figure = page.locator("figure", has=page.locator("canvas[data-panel=occlusion]"))
    expect(figure.locator(".note")).to_have_text("not there yet")
    assert figure.get_by_role("button").count() == 0


def check_fit(page: Page) -> None:
    assert [zoom for zoom, _, _ in zooms(page)] == [1, 1]


def test_the_percentile_repaints_both_viewers_before_the_hand_is_lifted(page, address, segmenter, image, target):
    open_trust(page, address, QUERY + CHEAP)
    at_rest(page)
    page.locator(".viewer.compact[data-ready=true]").wait_for()
    expected = importance(explain(segmenter, image, target, "gradient"))
    sizes = expected[expected != 0]
    panels = small(page, "gradient"), large(page, "Gradient")
    for panel in panels:
        assert value_of(last_tick(panel)) == pytest.approx(float(sizes.max()), rel=0.06)
    slider = page.get_by_role("slider", name="Colours end at the percentile")
    slider.scroll_into_view_if_needed()
    frame = slider.bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + 8, frame["y"] + frame["height"] / 2)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] - 4, frame["y"] + frame["height"] / 2, steps=4)

    def check_ends() -> None:
        for panel in panels:
            assert value_of(last_tick(panel)) == pytest.approx(float(np.percentile(sizes, 95)), rel=0.06)

    eventually(page, check_ends)
    assert "trust_percentile=100" in page.url, "Python learns of it when the hand is lifted"
    page.mouse.up()
    eventually(page, lambda: check_address(page, "trust_percentile=95"))
    at_rest(page)
    check_ends()


def test_the_page_is_usable_while_maps_are_computed_and_cancelled(page, address):
    open_trust(page, address, f"{QUERY}&methods=Gradient&methods=Occlusion&patch=8&patch_step=4&over=Mean")
    large(page, "Gradient").wait_for()
    cancel = page.locator(".st-key-cancel-maps button")
    expect(cancel).to_have_count(1)
    check_waiting(page)
    small(page, "random").click()
    expect(small(page, "random")).to_have_attribute("aria-pressed", "true")
    large(page, "Random").wait_for()
    bar = page.locator("[class*=st-key-work-]").filter(has_text="passes of the network")
    bar.filter(has_text=re.compile(r"[1-9]\d* of \d+")).wait_for()
    page.get_by_text("1 more to come.").wait_for()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(1)  # maps and tests are one work
    cancel.click()
    page.get_by_role("button", name="Start again").wait_for()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    check_waiting(page)
    open_tab(page, "Tests")
    expect(page.locator(".trust-table tbody tr")).to_have_count(5)
