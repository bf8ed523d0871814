"""The Jacobian page in a real Chromium, against torch.autograd.grad."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from playwright.sync_api import Page

from core import load_segmenter
from tests.browser.app import ROOT, Explorer, clickable_picture, eventually, heat_map, numbers

pytestmark = pytest.mark.browser

CROP = np.s_[40:104, 60:156]
SHAPE = (64, 96)
STRIDE = 8


@pytest.fixture(scope="module")
def picture():
    return tifffile.imread(ROOT / "sample_data" / "formats" / "images" / "not_square.tiff")[CROP]


@pytest.fixture(scope="module")
def truth(picture):
    """A row of the Jacobian from the network itself; the sides are multiples of 16, so that nothing is padded."""
    segmenter = load_segmenter("vessmap", "cpu")
    batch = torch.tensor(picture / 255, dtype=torch.float32)[None, None].requires_grad_()
    normalised = (batch - torch.tensor(segmenter.mean)) / torch.tensor(segmenter.std)
    probabilities = segmenter.module(normalised).softmax(dim=1)[0, 1]

    def row(r: int, c: int) -> tuple[float, np.ndarray]:
        (found,) = torch.autograd.grad(probabilities[r, c], batch, retain_graph=True)
        return float(probabilities[r, c].detach()), found[0, 0].numpy()

    return row


@pytest.fixture(scope="module")
def largest(truth):
    """The largest |J| of the sampled rows."""
    return max(np.abs(truth(r, c)[1]).max() for r in range(0, SHAPE[0], STRIDE) for c in range(0, SHAPE[1], STRIDE))


def open_page(page: Page, address: str, picture: np.ndarray, folder: Path, query: str = "") -> None:
    page.goto(f"{address}/jacobian?{query}")
    upload = page.locator("[data-testid=stFileUploader] input").first
    upload.wait_for(state="attached")
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    upload.set_input_files({"name": "small.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    field = page.get_by_role("textbox", name="Folder of the stores")
    field.wait_for()
    field.fill(str(folder))
    field.press("Enter")
    page.locator(f"text={folder.name}").first.wait_for()


class JacobianPage(Explorer):
    """The page with a Jacobian on it; it has the explorer's pictures, pixel and numbers."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wait()


def check(page: JacobianPage, truth, largest: float, pixel: tuple[int, int], proportion: float) -> None:
    """The numbers and the map on screen are those of the row of `pixel`."""
    eventually(page.page, lambda: check_once(page, *truth(*pixel), largest, pixel, proportion))


def check_once(
    page: JacobianPage, probability: float, row: np.ndarray, largest: float, pixel: tuple[int, int], proportion: float
) -> None:
    assert page.pixel() == pixel
    magnitude, shown = np.abs(row), numbers(page.page)
    assert float(shown["P(vessel)"]) == pytest.approx(probability, abs=1e-4)
    assert float(shown["Maximum"]) == pytest.approx(magnitude.max(), rel=1e-3)
    threshold = float(shown["Threshold"])
    assert threshold == pytest.approx(proportion * largest, rel=0.08), "the nearest edge of a bin"
    above = int(shown["Pixels above"].replace(",", ""))
    # The threshold on screen is rounded to four digits.
    assert (magnitude > threshold * 1.001).sum() <= above <= (magnitude > threshold * 0.999).sum()
    values, top, left = heat_map(page.page)
    window = row[top : top + values.shape[0], left : left + values.shape[1]]
    np.testing.assert_allclose(values, window, atol=1e-5 * magnitude.max())
    assert np.abs(values).sum() == pytest.approx(magnitude.sum(), rel=1e-3)


def test_a_run_ends_in_a_map_whose_pixels_can_be_clicked(page, address, picture, truth, largest, tmp_path):
    open_page(page, address, picture, tmp_path)
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator("text=Complete: all 96 passes").wait_for()
    shown = JacobianPage(page)
    for aim in ((24, 40), (37, 61)):
        hit = shown.click(*aim, SHAPE)
        shown.wait_for_pixel(*hit)
        check(shown, truth, largest, hit, proportion=0.01)
        assert f"row={hit[0]}&column={hit[1]}" in page.url

    slider = page.get_by_role("slider", name="Proportion of the maximum")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    check(shown, truth, largest, hit, proportion=0.1)

    shown.choose("Prediction", shows="Prediction: click a pixel")
    hit = shown.click(16, 72, SHAPE)
    shown.wait_for_pixel(*hit)
    check(shown, truth, largest, hit, proportion=0.1)


def test_a_long_run_shows_its_first_picture_is_cancelled_and_goes_on(page, address, picture, tmp_path):
    open_page(page, address, picture, tmp_path, "&stride=Every+pixel")
    page.get_by_role("button", name="Run", exact=True).click()
    progress = page.locator("[data-testid=stProgress]")
    shown = progress.filter(has_text=re.compile(r"[1-9][\d,]* of 6,144 passes, .* left"))
    shown.wait_for()
    page.get_by_test_id("stMetric").first.wait_for()
    clickable_picture(page).wait_for()
    page.locator(".st-key-cancel button").click()
    stopped = progress.filter(has_text="done, then stopped")
    stopped.wait_for()
    done = passes(stopped.inner_text())
    assert 0 < done < 6144

    page.reload()
    open_page(page, address, picture, tmp_path, "&stride=Every+pixel")
    assert passes(stopped.inner_text()) == done
    page.get_by_role("button", name="Resume").click()
    shown.wait_for()
    assert passes(shown.inner_text()) >= done

    page.get_by_role("link", name="Pixel Explorer").click()
    page.get_by_role("heading", name="Why this pixel?").wait_for()
    open_page(page, address, picture, tmp_path, "&stride=Every+pixel")
    shown.wait_for()
    assert passes(shown.inner_text()) > done, "the run goes on while another page is open"
    page.locator(".st-key-cancel button").click()
    stopped.wait_for()


def passes(text: str) -> int:
    found = re.search(r"([\d,]+) of [\d,]+ passes", text)
    assert found is not None
    return int(found[1].replace(",", ""))
