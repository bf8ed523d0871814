"""Integrated Gradients in a real Chromium: click a pixel, drag a box, stop a computation."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core import Target, load_segmenter, read_image
from core.attribution import integrated_gradients
from core.pixel_sets import PixelSet
from tests.browser.app import ROOT

pytestmark = pytest.mark.browser

IMAGE = ROOT / "sample_data/formats/images/not_square.tiff"
FAST = "image=formats/not_square&steps_are=Fixed&steps=2"


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


def arrive(page: Page, address: str, query: str) -> None:
    page.goto(f"{address}/integrated_gradients?{query}")
    page.wait_for_selector("[data-testid=stMetric]", timeout=90_000)
    settle(page)


def settle(page: Page) -> None:
    page.wait_for_function("!document.querySelector('[data-stale=true]')", timeout=60_000)
    page.wait_for_timeout(500)


def maximum(page: Page) -> str:
    return page.get_by_test_id("stMetric").filter(has_text="Maximum").get_by_test_id("stMetricValue").inner_text()


def expected(segmenter, target: Target) -> str:
    found = integrated_gradients(segmenter, read_image(IMAGE), target, n_steps=2)
    return f"{found.magnitude().max():.4g}"


def test_a_click_explains_that_pixel(page, address, segmenter):
    arrive(page, address, f"{FAST}&explain=Pixel&row=61&column=99")
    assert maximum(page) == expected(segmenter, Target.pixel(61, 99))
    frame = page.frame_locator("iframe[title='streamlit_plotly_events.plotly_events']").first
    plot = frame.locator(".nsewdrag").first
    plot.wait_for()
    page.wait_for_timeout(800)
    plot.click(position={"x": 60, "y": 40})
    expect(page.get_by_label("Column", exact=True)).not_to_have_value("99", timeout=30_000)
    settle(page)
    pixel = int(page.get_by_label("Row", exact=True).input_value()), int(page.get_by_label("Column").input_value())
    assert maximum(page) == expected(segmenter, Target.pixel(*pixel))
    assert f"at row {pixel[0]}, column {pixel[1]}" in page.get_by_text("The map shares").inner_text()


def test_a_box_drawn_on_the_image(page, address, segmenter):
    page.goto(f"{address}/integrated_gradients?{FAST}&explain=Box")
    plot = page.get_by_test_id("stPlotlyChart").locator(".nsewdrag").first
    plot.wait_for(timeout=90_000)
    page.wait_for_timeout(1000)
    place = plot.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + 50, place["y"] + 30)
    page.mouse.down()
    page.mouse.move(place["x"] + 120, place["y"] + 90, steps=8)
    page.mouse.up()
    page.wait_for_selector("[data-testid=stMetric]", timeout=60_000)
    settle(page)
    top, left, bottom, right = (float(part) for part in page.get_by_label("Box: first row").input_value().split(","))
    box = *np.ceil([top, left]).astype(int).tolist(), *np.floor([bottom, right]).astype(int).tolist()
    prediction = segmenter.predict(read_image(IMAGE))
    target = PixelSet("box", box=box).target(prediction, 1, "probability")
    assert maximum(page) == expected(segmenter, target)


def test_a_long_computation_can_be_cancelled_and_started_again(page, address):
    page.goto(f"{address}/integrated_gradients?image=formats/not_square&steps_are=Fixed&steps=300&explain=Class")
    page.get_by_role("button", name="Cancel").click(timeout=90_000)
    page.get_by_text("Cancelled.").wait_for(timeout=30_000)
    assert page.get_by_test_id("stMetric").count() == 0
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("button", name="Cancel").wait_for(timeout=30_000)
