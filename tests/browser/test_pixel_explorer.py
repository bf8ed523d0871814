"""The Pixel Explorer in a real Chromium, against torch.autograd.grad."""

import json

import numpy as np
import pytest
import tifffile
import torch

from core import load_segmenter
from tests.browser.app import (
    ROOT,
    Explorer,
    click,
    clickable_picture,
    drag,
    eventually,
    heat_map,
    numbers,
    wait_for_numbers,
)

pytestmark = pytest.mark.browser

NOT_SQUARE = ROOT / "sample_data" / "formats" / "images" / "not_square.tiff"
SHAPE = (200, 312)
QUERY = "?image=formats/not_square"


@pytest.fixture(scope="module")
def truth():
    """The Jacobian's row of a pixel, from the network itself, without `Segmenter`, `Target` or `gradient`."""
    segmenter = load_segmenter("vessmap", "cpu")
    image = torch.tensor(tifffile.imread(NOT_SQUARE) / 255, dtype=torch.float32)[None, None]
    batch = image.requires_grad_()
    normalised = (batch - torch.tensor(segmenter.mean)) / torch.tensor(segmenter.std)
    padded = torch.nn.functional.pad(normalised, (0, 320 - 312, 0, 208 - 200), mode="replicate")
    probabilities = segmenter.module(padded).softmax(dim=1)[0, 1, :200, :312]

    def row(r: int, c: int) -> tuple[float, np.ndarray]:
        (found,) = torch.autograd.grad(probabilities[r, c], batch, retain_graph=True)
        return float(probabilities[r, c].detach()), found[0, 0].numpy()

    return row


def compare(explorer: Explorer, truth, pixel: tuple[int, int], proportion: float = 0.01) -> None:
    """The numbers and the map on screen are those of the row of `pixel`."""
    eventually(explorer.page, lambda: check(explorer, *truth(*pixel), pixel, proportion))


def check(explorer: Explorer, probability: float, row: np.ndarray, pixel: tuple[int, int], proportion: float) -> None:
    assert explorer.pixel() == pixel
    magnitude = np.abs(row)
    shown = numbers(explorer.page)
    assert float(shown["P(vessel)"]) == pytest.approx(probability, abs=1e-4)
    assert shown["Label"] == ("vessel" if probability > 0.5 else "background")
    assert float(shown["Maximum"]) == pytest.approx(magnitude.max(), rel=1e-3)
    assert float(shown["Threshold"]) == pytest.approx(proportion * magnitude.max(), rel=1e-3)
    above = magnitude > proportion * magnitude.max()
    rows, columns = np.nonzero(above)
    assert int(shown["Pixels above"].replace(",", "")) == pytest.approx(above.sum(), abs=2)
    assert shown["Box rows"] == f"{rows.min()} – {rows.max()}"
    assert shown["Box columns"] == f"{columns.min()} – {columns.max()}"
    distance = np.hypot(*np.ogrid[-pixel[0] : SHAPE[0] - pixel[0], -pixel[1] : SHAPE[1] - pixel[1]])
    for radius in (8, 16, 32):
        share = 100 * magnitude[distance <= radius].sum() / magnitude.sum()
        assert float(shown[f"Within {radius} px"].removesuffix(" %")) == pytest.approx(share, abs=0.11)
    values, top, left = heat_map(explorer.page)
    window = row[top : top + values.shape[0], left : left + values.shape[1]]
    np.testing.assert_allclose(values, window, atol=1e-5 * magnitude.max())
    assert np.abs(values).sum() == pytest.approx(magnitude.sum(), rel=1e-3)


def test_a_stranger_sees_a_map_without_doing_anything(page, address):
    Explorer(page, address)
    assert np.abs(eventually(page, lambda: heat_map(page)[0])).max() > 0
    assert int(numbers(page)["Pixels above"].replace(",", "")) > 0
    assert page.locator("[data-testid=stAlert]").count() == 0


def test_click_shows_the_row_of_that_pixel_and_moving_the_threshold_its_footprint(page, address, truth):
    explorer = Explorer(page, address, QUERY)
    for aim in ((61, 100), (150, 33), (2, 240)):
        hit = explorer.click(*aim, SHAPE)
        explorer.wait_for_pixel(*hit)
        compare(explorer, truth, hit)
        assert f"row={hit[0]}&column={hit[1]}" in page.url

    slider = page.get_by_role("slider", name="Proportion of the maximum")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    compare(explorer, truth, hit, proportion=0.1)
    explorer.wait()
    assert explorer.pixel() == hit, "an old click must not fire again"
    compare(explorer, truth, hit, proportion=0.1)


def test_the_column_view_shows_what_the_pixel_drives(page, address, truth):
    pixel = 90, 140
    explorer = Explorer(page, address, f"{QUERY}&row={pixel[0]}&column={pixel[1]}")
    compare(explorer, truth, pixel)
    explorer.choose("What this pixel drives", shows="Influence map")

    def check_column() -> None:
        values, top, left = heat_map(page)
        for r, c in ((90, 140), (85, 150), (100, 131)):
            expected = truth(r, c)[1][pixel]
            found = values[r - top, c - left]
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-6 * float(np.abs(values).max()))

    eventually(page, check_column)


def test_number_inputs_move_the_pixel_and_the_old_click_can_be_made_again(page, address, truth):
    explorer = Explorer(page, address, QUERY)
    hit = explorer.click(40, 200, SHAPE)
    explorer.wait_for_pixel(*hit)
    field = page.get_by_label("Row", exact=True)
    field.fill("77")
    field.press("Enter")
    explorer.wait_for_pixel(77, hit[1])
    compare(explorer, truth, (77, hit[1]))
    explorer.click(40, 200, SHAPE)
    explorer.wait_for_pixel(*hit)
    assert explorer.pixel() == hit


def test_zoom_survives_a_click(page, address):
    explorer = Explorer(page, address, QUERY)
    picture = clickable_picture(page)
    drag(page, picture, [(0.1, 0.15), (0.4, 0.45)])
    plot = page.frame_locator("iframe").locator(".js-plotly-plot")

    def visible() -> list[float]:
        return plot.evaluate("plot => plot.layout.xaxis.range.concat(plot.layout.yaxis.range)")

    def zoomed() -> list[float]:
        found = visible()
        assert found[1] - found[0] < SHAPE[1] / 2
        return found

    left, right, bottom, top = before = eventually(page, zoomed)
    pixel = 60, 90

    def aim() -> tuple[tuple[int, int], tuple[int, int]]:
        frame = picture.bounding_box()
        x = frame["x"] + (pixel[1] - left) / (right - left) * frame["width"]
        y = frame["y"] + (pixel[0] - top) / (bottom - top) * frame["height"]
        return (round(x), round(y)), pixel

    click(page, aim)
    explorer.wait_for_pixel(*pixel)

    def crosshair() -> None:
        frame = plot.evaluate("plot => plot.layout.shapes.find(shape => shape.type === 'rect')")
        assert (frame["y0"], frame["x0"]) == (pixel[0] - 0.5, pixel[1] - 0.5)

    eventually(page, crosshair)
    assert visible() == pytest.approx(before)


def test_nothing_is_fetched_from_elsewhere(page, address):
    foreign = []
    page.on("request", lambda request: foreign.append(request.url))
    Explorer(page, address)
    assert [
        url for url in foreign if not url.startswith((address, "data:", "blob:", address.replace("http", "ws")))
    ] == []


def test_the_page_comes_back_from_its_address(page, address):
    explorer = Explorer(page, address, QUERY)
    hit = explorer.click(30, 60, SHAPE)
    explorer.wait_for_pixel(*hit)
    explorer.choose("What this pixel drives", shows="Influence map")
    explorer.choose("Absolute", shows="Magnitude")
    wait_for_numbers(page, Threshold="0.001")
    explorer.wait()
    before = numbers(page)
    page.goto(page.url)
    explorer.wait()
    assert explorer.pixel() == hit
    wait_for_numbers(page, **before)
    assert numbers(page) == before
    assert page.get_by_text("Influence map").is_visible()


def test_downloads_hold_the_raw_map(page, address, truth, tmp_path):
    explorer = Explorer(page, address, f"{QUERY}&row=70&column=90")
    with page.expect_download() as download:
        page.get_by_role("button", name="Raw values (.npy)").click()
    download.value.save_as(tmp_path / "values.npy")
    row = truth(70, 90)[1]
    np.testing.assert_allclose(np.load(tmp_path / "values.npy")[0], row, atol=1e-5 * np.abs(row).max())
    assert "row70_column90" in download.value.suggested_filename
    with page.expect_download() as download:
        page.get_by_role("button", name="Manifest (.json)").click()
    download.value.save_as(tmp_path / "manifest.json")
    assert json.loads((tmp_path / "manifest.json").read_text())["target"]["row"] == 70
    assert explorer.pixel() == (70, 90)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.png", b"not a picture at all", "text.png is not a PNG, JPEG or TIFF image"),
        ("empty.png", b"", "empty.png is empty (0 bytes)"),
        ("cut.tiff", NOT_SQUARE.read_bytes()[:-5000], "cut.tiff is broken or cut off"),
    ],
)
def test_a_bad_upload_gets_one_sentence(page, address, tmp_path, name, content, message):
    page.goto(address)
    page.locator("[data-testid=stFileUploader] input").wait_for(state="attached")
    (tmp_path / name).write_bytes(content)
    page.locator("[data-testid=stFileUploader] input").set_input_files(tmp_path / name)
    page.locator("[data-testid=stAlert]", has_text=message).wait_for()
    assert page.locator("[data-testid=stException]").count() == 0


def test_an_uploaded_image_is_explained(page, address, truth):
    explorer = Explorer(page, address)
    page.locator("[data-testid=stFileUploader] input").first.set_input_files(NOT_SQUARE)
    page.get_by_text("200 × 312 pixels").wait_for()
    explorer.wait()
    for label, value in (("Row", "61"), ("Column", "99")):
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")
    page.locator("p:has-text('At row 61, column 99')").wait_for()
    probability, _ = truth(61, 99)
    assert float(numbers(page)["P(vessel)"]) == pytest.approx(probability, abs=1e-4)
