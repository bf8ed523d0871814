"""Integrated Gradients in a real Chromium: click a pixel, draw regions, change the display, stop a computation."""

import re
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from skimage.draw import polygon2mask

from core import Target, load_segmenter, read_image
from core.attribution import integrated_gradients
from core.display.colours import magnitude_scale
from tests.browser.app import ROOT, eventually, wait_for_numbers, wait_for_rest
from tests.browser.viewer import Viewer
from tests.pages.viewer_data import value_of

pytestmark = pytest.mark.browser

IMAGE = ROOT / "sample_data/formats/images/not_square.tiff"
FAST = "image=formats/not_square&steps_are=Fixed&steps=2"


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(IMAGE)


def open_page(page: Page, address: str, query: str) -> Viewer:
    page.goto(f"{address}/integrated_gradients?{FAST}&{query}")
    return Viewer(page).wait(live=False)


def check_map(page: Page, viewer: Viewer, segmenter, image, target: Target) -> np.ndarray:
    """The map on screen and the numbers are those of the library; that map."""
    expected = integrated_gradients(segmenter, image, target, n_steps=2)
    magnitude = expected.magnitude()
    wait_for_numbers(page, Maximum=f"{magnitude.max():.4g}")

    def check() -> None:
        np.testing.assert_allclose(viewer.values("magnitude", magnitude.shape), magnitude, atol=1e-6 * magnitude.max())
        signed = expected.signed_map()
        np.testing.assert_allclose(viewer.values("signed", signed.shape), signed, atol=1e-6 * magnitude.max())

    eventually(page, check)
    return magnitude


def parts(page: Page, viewer: Viewer, count: int) -> list[dict]:
    """The parts of the region, once the page has taken this many."""

    def found() -> list[dict]:
        region = viewer.run("viewer.scene.region")
        assert len(region) == count
        return region

    region = eventually(page, found)
    wait_for_rest(page)
    return region


def box_mask(size: tuple[int, int], part: dict) -> np.ndarray:
    (top, left), (bottom, right) = np.sort(np.array(part["points"]), axis=0)
    return polygon2mask(size, [(top, left), (top, right), (bottom, right), (bottom, left)])


def test_a_click_explains_that_pixel(page, address, segmenter, image):
    viewer = open_page(page, address, "explain=Pixel&row=61&column=99")
    check_map(page, viewer, segmenter, image, Target.pixel(61, 99, space="logit"))

    def aim() -> list[int]:
        page.mouse.move(*viewer.aim(40, 57))  # again, since the page may still move
        return viewer.run("[...viewer.hover]")

    row, column = eventually(page, aim)
    page.mouse.down()
    page.mouse.up()
    viewer.wait_for_pixel(row, column)
    assert (row, column) != (61, 99)
    check_map(page, viewer, segmenter, image, Target.pixel(row, column, space="logit"))
    expect(viewer.root.locator(".sentence")).to_contain_text(f"at row {row}, column {column}")
    assert parse_qs(urlparse(page.url).query)["row"] == [str(row)]


def test_a_box_less_a_lasso_by_mouse(page, address, segmenter, image):
    viewer = open_page(page, address, "explain=Box")
    page.get_by_text("No box yet").wait_for()
    size = image.shape[1], image.shape[2]
    viewer.drag((20, 30), (60, 90))
    (box,) = parts(page, viewer, 1)
    assert viewer.run("[...viewer.hover]") == [60, 90], "the pointer is where the box ends"
    mask = box_mask(size, box)
    assert 1500 < mask.sum() < 3500
    check_map(page, viewer, segmenter, image, Target.region(mask, 1, "logit", "mean"))
    page.get_by_role("radio", name="Lasso", exact=True).last.click()
    page.get_by_role("radio", name="Subtract").click()
    viewer.drag((30, 40), (30, 70), (50, 55), (31, 41))
    lasso = parts(page, viewer, 2)[1]
    assert lasso["op"] == "subtract"
    fewer = mask & ~polygon2mask(size, lasso["points"])
    assert fewer.sum() < mask.sum()
    check_map(page, viewer, segmenter, image, Target.region(fewer, 1, "logit", "mean"))
    viewer.canvas.focus()
    page.keyboard.press("Escape")
    parts(page, viewer, 0)
    page.get_by_text("No box yet").wait_for()


def test_a_lasso_and_a_box_by_keys_alone(page, address, segmenter, image):
    viewer = open_page(page, address, "explain=Lasso")
    page.get_by_text("No lasso yet").wait_for()
    size = image.shape[1], image.shape[2]
    viewer.canvas.focus()
    for key in ("ArrowUp", "Enter", *["Shift+ArrowDown"] * 2, "Enter", *["Shift+ArrowRight"] * 3, "Enter", "c"):
        page.keyboard.press(key)
    (lasso,) = parts(page, viewer, 1)
    start = np.array(lasso["points"][0])
    assert (np.array(lasso["points"]) - start).tolist() == [[0, 0], [20, 0], [20, 30]]
    mask = polygon2mask(size, lasso["points"])
    check_map(page, viewer, segmenter, image, Target.region(mask, 1, "logit", "mean"))
    page.get_by_role("radio", name="Lasso", exact=True).last.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("radio", name="New", exact=True).focus()
    page.keyboard.press("ArrowRight")
    viewer.canvas.focus()
    for key in ("ArrowUp", "Enter", *["Shift+ArrowUp"] * 2, "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    box = parts(page, viewer, 2)[1]
    assert (box["kind"], box["op"]) == ("box", "add")
    check_map(page, viewer, segmenter, image, Target.region(mask | box_mask(size, box), 1, "logit", "mean"))


def test_the_display_repaints_at_once_and_reads_values_off(page, address, segmenter, image):
    viewer = open_page(page, address, "explain=Pixel&row=61&column=99&percentile=100&map=Magnitude")
    values = check_map(page, viewer, segmenter, image, Target.pixel(61, 99, space="logit"))
    row, column = map(int, np.unravel_index(np.argsort(values, axis=None)[-40], values.shape))
    viewer.zoom(6, row, column)
    for percentile, key in ((95, "Home"), (100, "End")):
        slider = page.get_by_role("slider", name="Colours end at the percentile")
        slider.focus()
        page.keyboard.press(key)
        expected = magnitude_scale(float(np.percentile(values, percentile))).rgb(
            values[row : row + 1, column : column + 1]
        )

        def painted(expected=expected[0, 0]) -> None:
            np.testing.assert_allclose(viewer.colour("Attribution", row, column), expected, atol=12)

        eventually(page, painted)
        wait_for_rest(page)

    def read() -> None:
        viewer.canvas.scroll_into_view_if_needed()
        page.mouse.move(2, 2)
        page.mouse.move(*viewer.aim(row, column))
        page.wait_for_function("() => new Promise(done => requestAnimationFrame(() => done(true)))")
        words = viewer.readout()
        assert f"row {row}, column {column}" in words
        value = value_of(words.split("magnitude ", 1)[1].split()[0])
        assert value == pytest.approx(float(values[row, column]), rel=1e-3)
        assert "logit" in words

    eventually(page, read)


def test_a_long_computation_can_be_cancelled_and_started_again_and_keeps_the_last_map(page, address):
    viewer = open_page(page, address, "explain=Class")
    wait_for_rest(page)
    page.goto(f"{address}/integrated_gradients?image=formats/not_square&steps_are=Fixed&steps=300&explain=Class")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    page.get_by_text("Cancelled.").wait_for()
    assert page.get_by_test_id("stMetric").count() == 0
    page.get_by_role("button", name="Start again").click()
    caption = viewer.root.locator("figcaption").last
    expect(caption).to_have_text(re.compile(r"Attribution\s*coarse, sharpening"))
    first = viewer.values("signed", (200, 312))
    assert np.abs(first).max() > 0
    expect(viewer.root.locator(".said")).to_contain_text("coarse map, sharpening")

    def check_sharper() -> None:
        assert not np.array_equal(viewer.values("signed", (200, 312)), first)

    eventually(page, check_sharper)
    assert viewer.canvas.bounding_box()["y"] < 800 < cancel.bounding_box()["y"] < 1000, "both are in sight"
    cancel.click()
    page.get_by_text("Cancelled.").wait_for()
    expect(caption).to_have_text(re.compile(r"Attribution\s*\d+ steps so far, cancelled"))
