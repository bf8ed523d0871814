"""Where the viewer cannot run: its message, and the Pixel Explorer in plain pictures."""

import numpy as np
import pytest
from playwright.sync_api import expect

from core import Target, load_segmenter, read_image
from core.attribution import gradient
from tests.browser.app import ROOT, click, clickable_picture, wait_for_rest
from tests.pages.viewer_data import value_of

pytestmark = pytest.mark.browser

NOT_SQUARE = ROOT / "sample_data" / "formats" / "images" / "not_square.tiff"
SIZE = (200, 312)


def test_an_old_browser_is_offered_plain_pictures(page, address):
    page.add_init_script("delete window.DecompressionStream")
    page.goto(address)
    page.get_by_role("link", name="Show the Pixel Explorer in plain pictures").click()
    clickable_picture(page).wait_for()


def test_a_click_on_the_plain_picture_explains_that_pixel(page, address):
    page.goto(f"{address}/?viewer=plain&image=formats/not_square&row=61&column=99")
    clickable_picture(page).wait_for()
    expect(page.get_by_text("Row 61, column 99")).to_be_visible()
    wait_for_rest(page)

    def aim() -> tuple[tuple[float, float], None]:
        frame = clickable_picture(page).bounding_box()
        assert frame is not None
        return (frame["x"] + 0.4 * frame["width"], frame["y"] + 0.6 * frame["height"]), None

    row, column = click(page, aim)
    assert np.abs(np.subtract((row, column), (0.6 * SIZE[0], 0.4 * SIZE[1]))).max() <= 2
    expect(page.get_by_text(f"Row {row}, column {column}")).to_be_visible()
    wait_for_rest(page)
    magnitude = gradient(
        load_segmenter("vessmap", "cpu"), read_image(NOT_SQUARE), Target.pixel(row, column, space="logit")
    ).magnitude()
    shown = page.locator("tr", has_text="Maximum").locator("td").last.inner_text()
    assert value_of(shown) == pytest.approx(magnitude.max(), rel=1e-3)
