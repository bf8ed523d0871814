"""The Jacobian page in a real Chromium, against torch.autograd.grad."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from core import load_segmenter
from core.display.colours import magnitude_scale
from core.jacobian import Jacobian, Threshold
from tests.browser.app import ROOT, eventually, open_by_side_bar, wait_for_rest
from tests.browser.viewer import Viewer
from widgets.jacobian.maps import limit_of

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
    logits = segmenter.module(normalised)
    scores, probabilities = logits[0, 1], logits.softmax(dim=1)[0, 1]

    def row(r: int, c: int) -> tuple[float, np.ndarray]:
        (found,) = torch.autograd.grad(scores[r, c], batch, retain_graph=True)
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
    page.get_by_text("64 × 96 pixels").wait_for()
    choose_folder(page, folder)


def choose_folder(page: Page, folder: Path) -> None:
    wait_for_rest(page)  # a run that is under way would take the field back
    field = page.get_by_role("textbox", name="Folder of saved Jacobians")
    field.fill(str(folder))
    field.press("Enter")

    def is_told() -> None:
        page.mouse.move(2, 2)
        page.locator(".st-key-run_status").get_by_test_id("stTooltipIcon").first.hover(timeout=2000)
        told = page.get_by_test_id("stTooltipContent").filter(has_text="Saved")
        assert folder.name in told.inner_text(timeout=2000)

    eventually(page, is_told)
    page.mouse.move(2, 2)


def row_panel(page: Page) -> Viewer:
    """The viewer with the picture to click."""
    return Viewer(page, "Picture").wait()


def run_to_the_end(page: Page, address: str, picture: np.ndarray, folder: Path, query: str = "") -> Viewer:
    open_page(page, address, picture, folder, query)
    page.get_by_role("button", name="Run", exact=True).click()
    page.locator("text=Complete: all 96 passes").wait_for()
    shown = row_panel(page)
    eventually(page, lambda: reach(shown, SHAPE[0] // 2, SHAPE[1] // 2))
    return shown


def reach(shown: Viewer, row: int, column: int) -> None:
    """Move over a pixel of a page whose parts may still move."""
    shown.page.mouse.move(2, 2)
    shown.page.mouse.move(*shown.aim(row, column))
    assert shown.run("viewer.hover") == [row, column]


def check(shown: Viewer, truth, largest: float, pixel: tuple[int, int], proportion: float) -> None:
    """The numbers and the map on screen are those of the row of `pixel`."""
    eventually(shown.page, lambda: check_once(shown, *truth(*pixel), largest, proportion))


def check_once(shown: Viewer, probability: float, row: np.ndarray, largest: float, proportion: float) -> None:
    magnitude = np.abs(row)
    np.testing.assert_allclose(shown.values("map", SHAPE), row, atol=1e-5 * magnitude.max())
    assert shown.number("P(vessel)") == pytest.approx(probability, rel=1e-3)
    assert shown.number("Maximum") == pytest.approx(magnitude.max(), rel=1e-3)
    threshold = shown.number("Threshold")
    assert threshold == pytest.approx(proportion * largest, rel=0.08), "the nearest edge of a bin"
    above = shown.number("Pixels above")
    # The threshold on screen is rounded to four digits.
    assert (magnitude > threshold * 1.001).sum() <= above <= (magnitude > threshold * 0.999).sum()


def test_hovered_and_clicked_rows_are_those_of_autograd(page, address, picture, truth, largest, tmp_path):
    shown = run_to_the_end(page, address, picture, tmp_path)
    for pixel in ((24, 40), (37, 61), (0, 95)):  # the first is stored, the others are computed
        assert shown.hover(*pixel) == pixel
        check(shown, truth, largest, pixel, proportion=0.01)
    for pixel, told in (((24, 48), "read from the disk"), ((21, 35), "computed just now")):
        assert shown.click(*pixel) == pixel
        assert f"row={pixel[0]}&column={pixel[1]}" in page.url
        shown.leave()
        check(shown, truth, largest, pixel, proportion=0.01)
        assert shown.numbers()["Gradient map"] == told

    slider = page.get_by_role("slider", name="Threshold, of all maps' maximum")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    check(shown, truth, largest, pixel, proportion=0.1)


def test_before_a_run_a_click_shows_the_row_of_autograd(page, address, picture, truth, tmp_path):
    open_page(page, address, picture, tmp_path)
    viewer = Viewer(page, "Image").wait()
    hit = viewer.click(21, 35)
    viewer.leave()
    probability, row = truth(*hit)

    def check_map() -> None:
        np.testing.assert_allclose(viewer.values("map", SHAPE), row, atol=1e-5 * np.abs(row).max())
        assert viewer.number("P(vessel)") == pytest.approx(probability, rel=1e-3)

    eventually(page, check_map)
    page.get_by_text("Press Run: about").wait_for()
    assert not list(tmp_path.iterdir())


def test_back_leads_from_the_example_to_the_model_and_image_left_for_it(page, address):
    page.goto(f"{address}/jacobian?model=scenes&image=scenes/scene_03")
    opens = page.get_by_role("button", name="Open the example")
    opens.wait_for()
    wait_for_rest(page)  # what changes before belongs to the page's opening, and is no entry of the history
    opens.click()
    row_panel(page)
    page.get_by_role("button", name="Back to scenes/scene_03, scenes").wait_for()
    page.wait_for_url("**image=vessels*")
    page.go_back()
    page.get_by_role("button", name="Open the example").wait_for()
    shown = Viewer(page, "Threshold map")

    def is_back() -> None:
        assert shown.run("viewer.scene.name") == "scene_03.png"

    eventually(page, is_back)
    assert "model=scenes" in page.url


def test_the_threshold_repaints_the_tint_at_once_and_the_map_when_the_hand_is_lifted(
    page, address, picture, truth, tmp_path
):
    shown = run_to_the_end(page, address, picture, tmp_path)
    (path,) = tmp_path.glob("*.zarr")
    store = Jacobian(path)
    pixel = tuple(map(int, np.unravel_index(np.nanargmax(store.threshold_map(0.1)), SHAPE)))
    shown.click(*pixel)
    shown.leave()
    row = truth(*pixel)[1]

    def check_tint(proportion: float) -> None:
        threshold = store.threshold(Threshold(proportion, source="histogram"))
        places = np.argwhere(np.abs(row) > threshold)
        assert len(places)
        strongest = np.unravel_index(np.abs(row).argmax(), SHAPE)
        red, _, blue = shown.colour("Input pixels above the threshold", *map(int, strongest))
        assert (red > blue) == (row[strongest] > 0)
        assert abs(red - blue) > 40, "the image itself is grey"
        box = shown.run("viewer.mapOf(viewer.named('map')).boxed.box")
        (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
        assert box == {"top": top, "left": left, "bottom": bottom, "right": right}

    def check_map(name: str, proportion: float) -> None:
        threshold = Threshold(proportion, source="histogram")
        maps = {"threshold": store.threshold_map, "area": store.area_map, "fulfilment": store.fulfilment_map}
        values = shown.values(name, SHAPE)
        np.testing.assert_array_equal(values[::STRIDE, ::STRIDE], maps[name](threshold)[::STRIDE, ::STRIDE])

    eventually(page, lambda: check_tint(0.01))
    eventually(page, lambda: check_map("threshold", 0.01))
    slider = page.get_by_role("slider", name="Threshold, of all maps' maximum")
    slider.evaluate("slider => { slider.value = 30; slider.dispatchEvent(new Event('input')) }")  # the hand is down
    eventually(page, lambda: check_tint(0.1))
    check_map("threshold", 0.01)
    assert "threshold=" not in page.url
    slider.evaluate("slider => slider.dispatchEvent(new Event('change'))")
    eventually(page, lambda: check_map("threshold", 0.1))
    assert "threshold=0.1" in page.url

    counts = store.threshold_map(Threshold(0.1, source="histogram"))
    most = np.nanmax(counts)
    some = tuple(map(int, np.argwhere((counts > 1) & (counts < most / 4))[0]))
    ticks = shown.canvas.locator("xpath=ancestor::figure").locator(".ticks span")

    def check_colour(share: float) -> None:
        np.testing.assert_allclose(shown.colour("Picture", *some), magnitude_scale(1).rgb(np.array(share)), atol=4)

    eventually(page, lambda: check_colour(np.log1p(counts[some]) / np.log1p(most)))
    first, *powers, last = ticks.all_inner_texts()
    assert (first, last) == ("0", f"{most:.0f}")
    assert {"10"} <= set(powers) <= {"1", "10", "100", "1000"}
    page.get_by_role("checkbox", name="Log colours").uncheck()
    eventually(page, lambda: check_colour(counts[some] / limit_of("threshold", shown.values("threshold", SHAPE))))
    assert "log=false" in page.url
    for name in ("area", "fulfilment"):
        page.get_by_role("combobox", name="Picture to click").select_option(name)
        eventually(page, lambda name=name: check_map(name, 0.1))


def test_a_long_run_shows_its_first_picture_is_cancelled_and_goes_on(page, address, tmp_path):
    """A run of minutes, far from its end even on a machine ten times as quick."""
    url = f"{address}/jacobian?image=vessels/phantom_01&stride=Every+pixel&storage=Summaries+only"
    page.goto(url)
    choose_folder(page, tmp_path)
    page.get_by_text("Press Run: about").wait_for()
    top_of_pictures = Viewer(page, "Image").canvas.bounding_box()["y"]
    page.get_by_role("button", name="Run", exact=True).click()
    stopped, changing = page.get_by_text("Stopped after"), page.get_by_text("Counts still change")
    bar = page.locator("[class*=st-key-work-jacobian]")
    under_way = bar.filter(has_text=re.compile(r"[1-9][\d,]* of 12,769, .* left")).first  # the former fades
    cancel = bar.get_by_role("button", name="Cancel")
    under_way.wait_for()
    changing.wait_for()
    shown = Viewer(page, "Picture")
    shown.root.wait_for()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
    eventually(page, lambda: shown.run("viewer.named('threshold').map.largest"))
    assert shown.canvas.bounding_box()["y"] == top_of_pictures

    shown.zoom(4, 130, 140)
    eventually(page, lambda: reach(shown, 130, 142))
    assert shown.wait_for_live() == (130, 142)
    zoom, address_of_map = shown.run("viewer.zoom"), shown.run("viewer.named('threshold').array.url")

    def refreshed() -> None:
        assert shown.run("viewer.named('threshold').array.url") != address_of_map

    eventually(page, refreshed)
    assert shown.run("viewer.zoom") == zoom
    assert shown.run("viewer.hover") == [130, 142]
    assert shown.run("Boolean(viewer.named('threshold').map)"), "the former map stays until the new one has come"

    cancel.click()
    stopped.wait_for()
    done = passes(stopped.inner_text())
    assert 0 < done < 12_769
    assert shown.canvas.bounding_box()["y"] == top_of_pictures
    shown.root.get_by_text(f"{done / 12_769:.0%} so far: click a pixel").wait_for()

    page.reload()
    choose_folder(page, tmp_path)
    stopped.wait_for()
    assert passes(stopped.inner_text()) == done
    page.get_by_role("button", name="Resume").click()
    under_way.wait_for()
    assert passes(under_way.inner_text()) >= done

    open_by_side_bar(page, "Pixel Explorer")
    page.get_by_role("heading", name="Why this pixel?").wait_for()
    page.goto(url)
    choose_folder(page, tmp_path)
    under_way.wait_for()
    assert passes(under_way.inner_text()) > done, "the run goes on while another page is open"
    cancel.click()
    stopped.wait_for()


def test_a_point_of_the_chart_leads_to_its_pixel(page, address, picture, tmp_path):
    shown = run_to_the_end(page, address, picture, tmp_path, "&panel=Vessels")
    (path,) = tmp_path.glob("*.zarr")
    store = Jacobian(path)
    areas = np.where(store.labels == 1, store.area_map(Threshold(0.01, source="histogram")), np.nan)
    assert (areas == np.nanmax(areas)).sum() == 1
    expected = tuple(map(int, np.unravel_index(np.nanargmax(areas), SHAPE)))
    plot = page.frame_locator("iframe").first.locator(".js-plotly-plot")

    def place() -> tuple[float, float]:
        x, y = plot.evaluate(
            """plot => {
                const {xaxis, yaxis} = plot._fullLayout, dots = plot.data[plot.data.length - 2]
                const highest = dots.y.indexOf(Math.max(...dots.y))
                return [xaxis._offset + xaxis.l2p(dots.x[highest]), yaxis._offset + yaxis.l2p(dots.y[highest])]
            }"""
        )
        frame = plot.bounding_box()
        assert frame is not None
        return frame["x"] + x, frame["y"] + y

    def hover() -> None:
        page.mouse.move(0, 0)
        page.mouse.move(*place())
        label = page.frame_locator("iframe").first.locator(".hovertext").first.text_content(timeout=2000)
        assert f"row {expected[0]}, column {expected[1]}" in (label or "")

    for other in ((2, 3), (50, 60)):  # the same point can be clicked again
        shown.click(*other)
        plot.scroll_into_view_if_needed()
        eventually(page, hover)
        page.mouse.down()
        page.mouse.up()
        shown.wait_for_pixel(*expected)
        assert f"row={expected[0]}&column={expected[1]}" in page.url


def passes(text: str) -> int:
    found = re.search(r"([\d,]+) of 12,769", text)
    assert found is not None
    return int(found[1].replace(",", ""))
