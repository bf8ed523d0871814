"""Integrated Gradients in a real Chromium: click a pixel, drag a box, stop a computation."""

import numpy as np
import pytest
from playwright.sync_api import expect

from core import Target, load_segmenter, read_image
from core.attribution import integrated_gradients
from core.pixel_sets import PixelSet
from tests.browser.app import ROOT, click, clickable_picture, drag, wait_for_numbers, wait_for_rest

pytestmark = pytest.mark.browser

IMAGE = ROOT / "sample_data/formats/images/not_square.tiff"
FAST = "image=formats/not_square&steps_are=Fixed&steps=2"


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


def expected(segmenter, target: Target) -> str:
    found = integrated_gradients(segmenter, read_image(IMAGE), target, n_steps=2)
    return f"{found.magnitude().max():.4g}"


def test_a_click_explains_that_pixel(page, address, segmenter):
    page.goto(f"{address}/integrated_gradients?{FAST}&explain=Pixel&row=61&column=99")
    wait_for_numbers(page, Maximum=expected(segmenter, Target.pixel(61, 99)))
    wait_for_rest(page)

    def aim() -> tuple[tuple[float, float], None]:
        frame = clickable_picture(page).bounding_box()
        return (frame["x"] + 60, frame["y"] + 40), None

    row, column = click(page, aim)
    expect(page.get_by_label("Row", exact=True)).to_have_value(str(row))
    expect(page.get_by_label("Column", exact=True)).to_have_value(str(column))
    assert column != 99
    wait_for_numbers(page, Maximum=expected(segmenter, Target.pixel(row, column)))
    expect(page.get_by_text("The map shares")).to_contain_text(f"at row {row}, column {column}")


def test_a_box_drawn_on_the_image(page, address, segmenter):
    page.goto(f"{address}/integrated_gradients?{FAST}&explain=Box")
    plot = page.get_by_test_id("stPlotlyChart").locator(".nsewdrag").first
    plot.wait_for()
    wait_for_rest(page)
    drag(page, plot, [(0.15, 0.15), (0.35, 0.45)])
    page.wait_for_selector("[data-testid=stMetric]")
    wait_for_rest(page)
    top, left, bottom, right = (float(part) for part in page.get_by_label("Box: first row").input_value().split(","))
    box = *np.ceil([top, left]).astype(int).tolist(), *np.floor([bottom, right]).astype(int).tolist()
    prediction = segmenter.predict(read_image(IMAGE))
    target = PixelSet("box", box=box).target(prediction, 1, "probability")
    wait_for_numbers(page, Maximum=expected(segmenter, target))


def test_a_long_computation_can_be_cancelled_and_started_again(page, address):
    page.goto(f"{address}/integrated_gradients?image=formats/not_square&steps_are=Fixed&steps=300&explain=Class")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    assert page.get_by_test_id("stMetric").count() == 0
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("button", name="Cancel").wait_for()
