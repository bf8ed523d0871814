"""The Pixel Explorer in a real Chromium, against torch.autograd.grad."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from playwright.sync_api import WebSocket, expect

from core import load_segmenter, read_image
from tests.browser.app import ROOT, VIEWPORT, eventually, wait_for_rest
from tests.browser.viewer import Viewer

pytestmark = pytest.mark.browser

NOT_SQUARE = ROOT / "sample_data" / "formats" / "images" / "not_square.tiff"
SIZE = (200, 312)
QUERY = "?image=formats/not_square"


def rows_of(model: str, path, class_index: int):
    """Probabilities and rows of the Jacobian from the network itself, without `Segmenter`, `Target` or `gradient`."""
    segmenter = load_segmenter(model, "cpu")
    image = torch.tensor(read_image(path))[None].requires_grad_()
    height, width = image.shape[2:]
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (segmenter.mean, segmenter.std))
    rounded = [-(-side // 16) * 16 for side in (height, width)] if segmenter.size_multiple != 1 else (height, width)
    padded = F.pad((image - mean) / std, (0, rounded[1] - width, 0, rounded[0] - height), mode="replicate")
    logits = segmenter.module(padded)
    if logits.shape[1] == 1:
        logits = torch.cat((torch.zeros_like(logits), logits), dim=1)
    scores, probabilities = (each[0, class_index, :height, :width] for each in (logits, logits.softmax(dim=1)))

    def row(r: int, c: int) -> tuple[float, np.ndarray]:
        (found,) = torch.autograd.grad(scores[r, c], image, retain_graph=True)
        return float(probabilities[r, c].detach()), found[0].numpy()

    return row


@pytest.fixture(scope="module")
def truth():
    return rows_of("vessmap", NOT_SQUARE, 1)


def open_explorer(page, address, query: str = QUERY) -> Viewer:
    page.goto(f"{address}/{query}")
    return Viewer(page).wait()


def compare(viewer: Viewer, probability: float, row: np.ndarray, pixel: tuple[int, int], proportion: float = 0.01):
    """The map and the numbers on screen are those of the row of `pixel`, (C, H, W)."""
    magnitude = np.sqrt(np.square(row).sum(axis=0))

    def check() -> None:
        found = viewer.values("map", row.shape[1:])
        np.testing.assert_allclose(found, row.sum(axis=0), atol=2e-5 * magnitude.max())
        largest = "Maximum" if len(row) == 1 else "Maximum norm"
        assert viewer.number(largest) == pytest.approx(magnitude.max(), rel=2e-3)
        assert viewer.number("Threshold") == pytest.approx(proportion * magnitude.max(), rel=2e-3)
        above = magnitude > proportion * magnitude.max()
        rows, columns = np.nonzero(above)
        shown = viewer.numbers()
        assert viewer.number("Pixels above") == pytest.approx(above.sum(), abs=3)
        assert shown["Box rows"] == f"{rows.min()}–{rows.max()}"
        assert shown["Box columns"] == f"{columns.min()}–{columns.max()}"
        name = next(name for name in shown if name.startswith("P("))
        assert viewer.number(name) == pytest.approx(probability, abs=1e-4)
        distance = np.hypot(*np.ogrid[-pixel[0] : row.shape[1] - pixel[0], -pixel[1] : row.shape[2] - pixel[1]])
        for radius in (8, 16, 32):
            share = 100 * magnitude[distance <= radius].sum() / magnitude.sum()
            assert viewer.number(f"Within {radius} px") == pytest.approx(share, abs=0.11)

    eventually(viewer.page, check)


def test_a_stranger_sees_a_map_and_all_numbers_without_scrolling(page, address):
    page.set_viewport_size({"width": 1280, "height": 800})
    viewer = open_explorer(page, address, "")
    largest = eventually(page, lambda: np.abs(viewer.values("map", (256, 256))).max())
    assert largest > 0
    assert viewer.number("Pixels above") > 0
    assert page.locator("[data-testid=stAlert]").count() == 0
    card = page.locator(".figures")

    def is_in_view() -> None:
        frame = card.bounding_box()
        assert frame is not None
        assert frame["y"] > 0
        assert frame["y"] + frame["height"] <= 800

    eventually(page, is_in_view)
    card.get_by_role("button", name="More").click()
    card.get_by_text("Within 32 px").wait_for()
    eventually(page, is_in_view)


FUNDUS = min((ROOT / "sample_data" / "fundus" / "test" / "images").glob("*.png"))
SCENE = min((ROOT / "sample_data" / "scenes" / "test" / "images").glob("*.png"))


@pytest.mark.parametrize(
    ("query", "model", "path", "class_index", "zooms", "ratio", "scheme"),
    [
        (QUERY, "vessmap", NOT_SQUARE, 1, (1, 4), 1, "light"),
        (f"?model=fundus&image=fundus/{FUNDUS.stem}", "fundus", FUNDUS, 1, (1, 16), 1.25, "dark"),
        (f"?model=scenes&image=scenes/{SCENE.stem}&class=sidewalk", "scenes", SCENE, 1, (4, 16), 2, "light"),
    ],
)
def test_hovered_and_clicked_values_are_the_networks(
    browser, address, query, model, path, class_index, zooms, ratio, scheme
):
    context = browser.new_context(viewport=VIEWPORT, device_scale_factor=ratio, color_scheme=scheme)
    try:
        page = context.new_page()
        viewer = open_explorer(page, address, f"{query}&overlay=none&above=false")
        row, image = rows_of(model, path, class_index), read_image(path)
        size = image.shape[1:]
        for zoom, aim in zip(zooms, ((size[0] // 3, size[1] // 2), (size[0] // 2, 2 * size[1] // 3)), strict=True):
            viewer.run("viewer.fit({})")
            if zoom > 1:
                viewer.zoom(zoom, *aim)
            hit = viewer.hover(*aim)
            assert np.abs(np.subtract(hit, aim)).max() <= (1 if zoom == 1 else 0)
            compare(viewer, *row(*hit), hit)
            assert f"row {hit[0]}, column {hit[1]}" in viewer.readout()
            assert ("gradient, sum of channels" in viewer.readout()) == (len(image) > 1)
            if zoom > 1:  # one image pixel covers many on screen: what lies under the pointer is that pixel
                expected = np.round(255 * np.broadcast_to(image[:, hit[0], hit[1]], 3))
                np.testing.assert_allclose(viewer.colour("Image", *hit), expected, atol=1)
        clicked = viewer.click(*aim)
        viewer.leave()
        compare(viewer, *row(*clicked), clicked)
    finally:
        context.close()


def test_a_click_pins_and_back_shows_only_pixels_that_were_chosen(page, address, truth):
    viewer = open_explorer(page, address)
    first = viewer.run("viewer.scene.pixel")
    entries = page.evaluate("history.length")
    hits = [viewer.click(*aim) for aim in ((61, 100), (150, 33), (2, 240))]
    assert page.evaluate("history.length") == entries + 3, "one entry for each pin"
    assert viewer.root.locator(".pin").count() == 3
    viewer.leave()
    compare(viewer, *truth(*hits[-1]), hits[-1])
    assert f"row={hits[-1][0]}&column={hits[-1][1]}" in page.url
    for expected, pins in ((hits[1], 2), (hits[0], 1), (tuple(first), 0)):
        page.go_back()
        viewer.wait_for_pixel(*expected)
        viewer.root.locator(".pin").nth(pins).wait_for(state="detached")
        compare(viewer, *truth(*expected), expected)
    page.go_forward()
    viewer.wait_for_pixel(*hits[0])


def test_the_threshold_repaints_without_a_run_until_the_hand_is_lifted(page, address, truth):
    sent: list[str | bytes] = []

    def watch(socket: WebSocket) -> None:
        if "/_stcore/stream" in socket.url:
            socket.on("framesent", lambda frame: sent.append(frame))  # noqa: PLW0108 - Playwright refuses a built-in

    page.on("websocket", watch)
    viewer = open_explorer(page, address, f"{QUERY}&row=90&column=140")
    expect(page.locator(".gallery .card .score")).to_have_count(1)  # it asks until the score of its image is there
    wait_for_rest(page)
    assert sent, "that is how the page asks for a run"
    sent.clear()
    slider = viewer.root.get_by_role("slider", name="Threshold, of this map's maximum")
    frame = slider.bounding_box()
    y = frame["y"] + frame["height"] / 2
    before = int(viewer.root.get_attribute("data-frames"))
    page.mouse.move(frame["x"] + frame["width"] / 2, y)
    page.mouse.down()
    for step in range(60):
        page.mouse.move(frame["x"] + 3 + step / 59 * (frame["width"] - 6), y)
    eventually(page, lambda: _assert(viewer.run("viewer.settings.threshold") == 1))
    assert not sent, "nothing runs before the hand is lifted"
    assert int(viewer.root.get_attribute("data-frames")) > before + 20
    eventually(page, lambda: _assert(viewer.numbers()["Pixels above"] == "0"))
    assert not sent, "the numbers come through the channel"
    page.mouse.up()
    eventually(page, lambda: _assert(viewer.run("viewer.scene.settings.threshold") == 1))
    assert sent
    assert "threshold=1" in page.url


def test_a_click_is_not_lost_to_the_slider_that_is_moved_at_once(page, address):
    viewer = open_explorer(page, address, f"{QUERY}&row=90&column=140")
    sent = viewer.run(
        """(() => {
            const {send} = viewer, sent = []
            viewer.send = (name, value) => { sent.push(name); send(name, value) }
            viewer.pick(60, 70)
            const slider = viewer.root.querySelector('[data-control=threshold] input')
            slider.value = 0
            slider.onchange()
            return sent
        })()"""
    )
    assert sent == ["picked", "picked", "settings"], "the click is sent along until a run has answered it"
    viewer.wait_for_pixel(60, 70)
    assert viewer.run("viewer.scene.settings.threshold") == 1e-4


def _assert(condition: bool) -> None:
    assert condition


def test_the_column_view_shows_what_the_pixel_drives(page, address, truth):
    pixel = 90, 140
    viewer = open_explorer(page, address, f"{QUERY}&row={pixel[0]}&column={pixel[1]}")
    viewer.root.get_by_role("radio", name="What this pixel drives").click()
    viewer.root.get_by_text("Influence map").wait_for()

    def check_column() -> None:
        found = viewer.values("map", SIZE)
        for r, c in ((90, 140), (85, 150), (100, 131)):
            expected = truth(r, c)[1][(0, *pixel)]
            assert found[r, c] == pytest.approx(expected, rel=1e-3, abs=1e-6 * float(np.abs(found).max()))

    eventually(page, check_column)


def test_keys_do_what_the_mouse_does(page, address, truth):
    viewer = open_explorer(page, address, f"{QUERY}&row=90&column=140")
    viewer.canvas.focus()
    for key in ("ArrowDown", "ArrowDown", "Shift+ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert viewer.wait_for_live() == (92, 149)
    compare(viewer, *truth(92, 149), (92, 149))
    page.keyboard.press("Escape")
    eventually(page, lambda: _assert(viewer.run("viewer.hover") is None))
    compare(viewer, *truth(90, 140), (90, 140))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    viewer.wait_for_pixel(89, 140)
    assert viewer.root.locator(".pin").count() == 1
    viewer.canvas.focus()
    page.keyboard.press("+")
    assert viewer.run("viewer.zoom") > 1
    page.keyboard.press("0")
    assert viewer.run("viewer.zoom") == 1
    page.keyboard.press("Delete")
    viewer.root.locator(".pin").wait_for(state="detached")


def test_typed_positions_do_not_disturb_the_pointer(page, address, truth):
    viewer = open_explorer(page, address, f"{QUERY}&row=90&column=140")
    field = page.get_by_label("Row", exact=True)
    field.fill("77")
    field.press("Enter")
    viewer.wait_for_pixel(77, 140)
    field.fill("1")  # half typed, then the picture is clicked
    hit = viewer.click(40, 200)
    assert field.input_value() == str(hit[0])
    field.fill("4000")
    field.press("Enter")
    eventually(page, lambda: _assert(field.input_value() == str(hit[0])))
    compare(viewer, *truth(*hit), hit)


def test_dragging_moves_and_double_click_shows_all(page, address):
    viewer = open_explorer(page, address)
    viewer.zoom(4, 100, 150)
    x, y = viewer.aim(100, 150)
    pixel = viewer.run("viewer.scene.pixel")
    centre = viewer.run("[...viewer.centre]")
    scale = viewer.run("viewer.scale")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y - 24, steps=4)
    page.mouse.up()
    moved = viewer.run("[...viewer.centre]")
    assert moved == pytest.approx([centre[0] + 24 / scale, centre[1] - 40 / scale])
    assert viewer.run("viewer.scene.pixel") == pixel, "a drag is no click"
    address_before = page.url
    viewer.click(100, 150)
    chosen, pins = viewer.run("viewer.scene.pixel"), viewer.run("viewer.scene.pins.length")
    assert page.url != address_before
    address_before = page.url
    page.mouse.move(x + 31, y + 17)
    page.mouse.dblclick(x + 31, y + 17)
    assert viewer.run("viewer.zoom") == 1
    wait_for_rest(page)
    viewer.wait_for_pixel(*chosen)
    assert viewer.run("viewer.scene.pins.length") == pins == 1, "a double click is no click"
    eventually(page, lambda: _assert(page.url == address_before))


def test_pins_can_be_compared_and_removed(page, address, truth):
    viewer = open_explorer(page, address, f"{QUERY}&row=150&column=33&pins=61,99;150,33")
    viewer.root.get_by_role("button", name="Show pin 1").click()
    viewer.wait_for_pixel(61, 99)
    compare(viewer, *truth(61, 99), (61, 99))
    viewer.root.get_by_role("button", name="Remove pin 1").click()
    viewer.root.locator(".pin").nth(1).wait_for(state="detached")
    eventually(page, lambda: _assert("pins=150%2C33" in page.url))


def test_nothing_is_fetched_from_elsewhere(page, address):
    foreign = []
    page.on("request", lambda request: foreign.append(request.url))
    open_explorer(page, address, "")
    own = (address, "data:", "blob:", address.replace("http", "ws"))
    assert [url for url in foreign if not url.startswith(own)] == []


def test_the_page_comes_back_from_its_address(page, address):
    viewer = open_explorer(page, address)
    hit = viewer.click(30, 60)
    viewer.root.get_by_role("radio", name="What this pixel drives").click()
    viewer.root.get_by_text("Influence map").wait_for()
    viewer.root.get_by_role("radio", name="Absolute").click()
    eventually(page, lambda: _assert(viewer.number("Threshold") == 0.001))
    eventually(page, lambda: _assert("threshold_of=absolute" in page.url))
    viewer.leave()
    viewer.wait()
    before = viewer.numbers()
    page.goto(page.url)
    viewer.wait()
    viewer.wait_for_pixel(*hit)
    assert viewer.numbers() == before
    assert viewer.root.get_by_text("Influence map").is_visible()


def test_downloads_hold_the_raw_map(page, address, truth, tmp_path):
    viewer = open_explorer(page, address, f"{QUERY}&row=70&column=90")
    with page.expect_download() as download:
        page.get_by_role("button", name="Raw values").click()
    download.value.save_as(tmp_path / "values.npy")
    row = truth(70, 90)[1]
    np.testing.assert_allclose(np.load(tmp_path / "values.npy"), row, atol=1e-5 * np.abs(row).max())
    assert "row70_column90" in download.value.suggested_filename
    with page.expect_download() as download:
        page.get_by_role("button", name="Manifest").click()
    download.value.save_as(tmp_path / "manifest.json")
    assert json.loads((tmp_path / "manifest.json").read_text())["target"]["row"] == 70
    assert viewer.run("viewer.scene.pixel") == [70, 90]


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
    viewer = open_explorer(page, address, "")
    page.locator("[data-testid=stFileUploader] input").first.set_input_files(NOT_SQUARE)
    page.get_by_text("200 × 312 pixels").wait_for()
    viewer.wait_for_size(200, 312).wait()
    hit = viewer.click(61, 99)
    compare(viewer, *truth(*hit), hit)
