"""The page of class activation maps in a real Chromium: draw, look at the atlas, press a thumbnail."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from skimage.draw import polygon2mask

from core import Target, load_segmenter, read_image
from core.attribution.cam import cam, gradient_methods
from core.attribution.registry import METHODS
from tests.browser.app import ROOT, click, clickable_picture, eventually, heat_map, numbers, wait_for_rest
from tests.browser.app import drag as drag_over

pytestmark = pytest.mark.browser

SCENE = ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"
SHAPE = (128, 256)
QUERY = "?model=scenes&image=scenes/scene_00&class=car"
CAR = 5


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(SCENE)


def open_cams(page: Page, address: str, query: str) -> None:
    page.goto(f"{address}/cams{query}")
    page.locator("[data-testid=stMetric], .nsewdrag, [data-testid=stAlert]").first.wait_for()
    wait_for_rest(page)


def drag(page: Page, corners: list[tuple[float, float]]) -> None:
    """Hold the button down along (row, column) of the image's pixels, and wait for the region's maps."""
    before = region_text(page)
    shares = [((column + 0.5) / SHAPE[1], (row + 0.5) / SHAPE[0]) for row, column in corners]
    drag_over(page, page.locator(".nsewdrag").first, shares)
    expect(page.get_by_placeholder("10,20")).not_to_have_value(before)
    page.get_by_text("Explained: the").wait_for()
    wait_for_rest(page)


def press(page: Page, method: str, layer: str) -> None:
    page.get_by_role("button", name=f"{METHODS[method].title} at {layer}", exact=True).click()
    page.locator(f"strong:text-is('{METHODS[method].title} at {layer}')").wait_for()
    wait_for_rest(page)


def compare(page: Page, segmenter, image, mask: np.ndarray, layer: str, method: str) -> None:
    expected = cam(segmenter, image, Target.region(mask, CAR), layer, method)
    raw, positive = expected.values[0], expected.at_image_size()

    def check() -> None:
        found = numbers(page)
        assert float(found["Maximum"]) == pytest.approx(raw.max(), rel=1e-3)
        assert float(found["Minimum"]) == pytest.approx(raw.min(), rel=1e-3)
        np.testing.assert_allclose(heat_map(page)[0], positive, atol=1e-4 * max(1e-6, positive.max()))

    eventually(page, check)


def region_text(page: Page) -> str:
    return page.get_by_placeholder("10,20").input_value()


def region_in_url(page: Page, mode: str) -> list[tuple[float, ...]]:
    page.wait_for_url(re.compile(f"{mode}="))
    return [tuple(float(number) for number in corner.split(",")) for corner in region_text(page).split()]


def test_lasso_atlas_thumbnail_and_numbers(page, address, segmenter, image):
    open_cams(page, address, f"{QUERY}&pixel_set=A+lasso")
    page.get_by_text("No lasso yet").wait_for()
    assert page.locator("button[aria-pressed]").count() == 0

    drag(page, [(55, 85), (55, 125), (90, 125), (80, 85)])
    corners = region_in_url(page, "lasso")
    mask = polygon2mask(SHAPE, np.array(corners))
    assert 900 < mask.sum() < 1500
    expect(page.get_by_text(f"{mask.sum():,} pixels")).to_have_count(1)

    thumbnails = page.locator("button[aria-pressed]")

    def all_there() -> None:
        assert thumbnails.count() >= 6 * len(gradient_methods())

    eventually(page, all_there)
    assert thumbnails.count() % len(gradient_methods()) == 0
    expect(page.locator("button[aria-pressed=true]")).to_have_count(1)
    for method, layer in (("layer_cam", "decoder.1"), ("seg_grad_cam", "encoder.2"), ("xgrad_cam", "decoder.1")):
        press(page, method, layer)
        compare(page, segmenter, image, mask, layer, method)
        pressed = page.locator("button[aria-pressed=true]")
        expect(pressed).to_have_attribute("aria-label", f"{METHODS[method].title} at {layer}")
        expect(page).to_have_url(re.compile(f"layer={layer}.*method={method}|method={method}.*layer={layer}"))

    page.reload()
    page.get_by_text("Explained: the").wait_for()
    wait_for_rest(page)
    compare(page, segmenter, image, mask, "decoder.1", "xgrad_cam")

    page.get_by_role("button", name="Clear").click()
    page.get_by_text("No lasso yet").wait_for()
    assert "lasso=" not in page.url


def test_a_second_box_takes_the_place_of_the_first(page, address, segmenter, image):
    open_cams(page, address, f"{QUERY}&pixel_set=A+box&layer=decoder.2&method=layer_cam")
    drag(page, [(60, 10), (85, 60)])
    first = region_in_url(page, "box")
    drag(page, [(50, 100), (95, 160)])
    (second,) = region_in_url(page, "box")
    assert [second] != first
    assert second == pytest.approx((50, 100, 95, 160), abs=1.5)
    top, left = np.ceil(second[:2]).astype(int)
    bottom, right = np.floor(second[2:]).astype(int)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[top : bottom + 1, left : right + 1] = True
    compare(page, segmenter, image, mask, "decoder.2", "layer_cam")


def test_a_click_explains_one_pixel(page, address, segmenter, image):
    open_cams(page, address, f"{QUERY}&pixel_set=One+pixel&layer=decoder.2&row=5&column=5")
    page.get_by_text("Explained: the car logit at row 5, column 5").wait_for()

    def aim() -> tuple[tuple[float, float], None]:
        frame = clickable_picture(page).bounding_box()
        assert frame is not None
        return (frame["x"] + 0.42 * frame["width"], frame["y"] + 0.47 * frame["height"]), None

    row, column = click(page, aim)
    page.get_by_text(f"Explained: the car logit at row {row}, column {column}").wait_for()
    wait_for_rest(page)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[row, column] = True
    compare(page, segmenter, image, mask, "decoder.2", "seg_hires_grad_cam")


def test_the_keyboard_opens_a_thumbnail_too(page, address, segmenter, image):
    open_cams(page, address, QUERY)
    page.get_by_role("button", name=f"{METHODS['layer_cam'].title} at encoder.3", exact=True).focus()
    page.keyboard.press("Enter")
    page.locator(f"strong:text-is('{METHODS['layer_cam'].title} at encoder.3')").wait_for()
    wait_for_rest(page)
    compare(page, segmenter, image, segmenter.predict(image).labels == CAR, "encoder.3", "layer_cam")


def test_score_cam_shows_its_progress_and_is_cancelled(page, address):
    open_cams(page, address, f"{QUERY}&layer=encoder.4&method=score_cam")
    page.get_by_role("button", name="Compute Score-CAM").click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.get_by_text("passes of the network").first.wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Start again").wait_for()
    wait_for_rest(page)
    assert page.get_by_role("button", name="Cancel").count() == 0


def test_a_stranger_meets_a_map_and_no_complaint(page, address):
    open_cams(page, address, "")
    page.locator("button[aria-pressed=true]").wait_for()
    wait_for_rest(page)
    assert eventually(page, lambda: heat_map(page)[0]).max() > 0
    assert page.locator("[data-testid=stAlert]").count() == 0
