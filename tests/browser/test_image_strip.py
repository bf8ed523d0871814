"""The strip of thumbnails and files dropped on the page, in a real browser."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.app import ROOT, running_app, wait_for_rest

VESSELS = ROOT / "sample_data" / "vessels" / "images"
DRAG = """([kinds, files]) => {
    const carried = new DataTransfer()
    for (const [name, type, bytes] of files) carried.items.add(new File([new Uint8Array(bytes)], name, {type}))
    const target = document.querySelector('[data-testid=stMain]')
    const options = {bubbles: true, composed: true, cancelable: true, dataTransfer: carried}
    return kinds.map(kind => !target.dispatchEvent(new DragEvent(kind, options)))
}"""


@pytest.fixture(scope="module")
def address():
    with running_app(script=str(Path(__file__).with_name("image_strip_app.py"))) as url:
        yield url


@pytest.fixture
def opened(page, address):
    page.goto(address)
    wait_for_image(page, "phantom_00.tiff (1, 256, 256)")
    return page


def wait_for_image(page: Page, says: str) -> None:
    expect(page.get_by_test_id("stText")).to_contain_text(says)
    expect(page.get_by_test_id("fileDropHint")).to_have_count(1)  # one page's script listens, also after another page
    wait_for_rest(page)


def png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def drag(page: Page, kinds: list[str], *files: tuple[str, bytes]) -> list[bool]:
    """Whether the page took each of the events."""
    return page.evaluate(DRAG, [kinds, [[name, "image/png", list(content)] for name, content in files]])


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    assert drag(page, ["dragenter", "dragover", "drop"], *files) == [True, True, True]


def thumbnail(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def names(page: Page) -> list[str]:
    return page.locator(".strip button").evaluate_all("buttons => buttons.map(button => button.ariaLabel)")


def grey(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width), np.uint8)


def test_a_click_changes_the_image_and_the_url(opened):
    thumbnail(opened, "vessels/phantom_03").click()
    wait_for_image(opened, "phantom_03.tiff")
    expect(thumbnail(opened, "vessels/phantom_03")).to_have_attribute("aria-pressed", "true")
    expect(opened.locator(".strip [aria-pressed=true]")).to_have_count(1)
    assert re.search("image=vessels(/|%2F)phantom_03", opened.url)
    expect(opened.get_by_role("combobox", name="Image")).to_have_value("vessels/phantom_03")


def test_the_picture_on_a_thumbnail_is_that_image(opened):
    """The browser's own pixels, against Pillow's reduction of the file."""
    picture = thumbnail(opened, "vessels/phantom_03").locator("img")
    picture.wait_for()
    shown = picture.evaluate(
        """async picture => {
            await picture.decode()
            const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight)
            const pen = canvas.getContext('2d')
            pen.drawImage(picture, 0, 0)
            return [...pen.getImageData(0, 0, canvas.width, canvas.height).data]
        }"""
    )
    shown = np.reshape(shown, (120, 120, 4))[..., 0]
    expected = Image.open(VESSELS / "phantom_03.tiff").convert("L").resize((120, 120), Image.Resampling.BOX)
    assert np.abs(shown - np.asarray(expected, float)).mean() < 2


def test_the_keyboard_alone(opened):
    thumbnail(opened, "vessels/phantom_00").focus()
    opened.keyboard.press("ArrowRight")
    expect(thumbnail(opened, "vessels/phantom_01")).to_be_focused()
    opened.keyboard.press("Enter")
    wait_for_image(opened, "phantom_01.tiff")
    expect(thumbnail(opened, "vessels/phantom_01")).to_be_focused()
    opened.keyboard.press("End")
    expect(thumbnail(opened, names(opened)[-1])).to_be_focused()
    expect(thumbnail(opened, names(opened)[-1])).to_be_in_viewport(ratio=0.9)
    expect(opened.locator(".strip button[tabindex='0']")).to_have_count(1)


@pytest.mark.parametrize("width", [800, 1280, 1920])
def test_one_low_row_at_every_width(opened, width):
    opened.set_viewport_size({"width": width, "height": 800})
    opened.locator(".strip img").first.wait_for()
    tops, heights = zip(
        *opened.locator(".strip button").evaluate_all(
            "buttons => buttons.map(b => b.getBoundingClientRect()).map(box => [box.top, box.height])"
        ),
        strict=True,
    )
    assert len(set(tops)) == 1
    assert max(heights) <= 72
    frame = opened.locator(".strip").bounding_box()
    assert frame["x"] + frame["width"] <= width
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_dropping_shows_a_hint_and_opens_the_image(opened):
    hint = opened.get_by_test_id("fileDropHint")
    expect(hint).to_be_hidden()
    drag(opened, ["dragenter", "dragover"], ("a.png", b""))
    expect(hint).to_be_visible()
    size = opened.viewport_size
    assert hint.bounding_box() == {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
    drag(opened, ["dragleave"])
    expect(hint).to_be_hidden()
    drop(opened, ("first.png", png(grey(40, 90))), ("second.png", png(grey(50, 60))))
    wait_for_image(opened, "first.png (1, 40, 90) truth none")
    expect(hint).to_be_hidden()
    assert names(opened)[:2] == ["first.png", "second.png"]
    box = thumbnail(opened, "first.png").locator("img").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(90 / 40, rel=0.05)
    thumbnail(opened, "second.png").click()
    wait_for_image(opened, "second.png (1, 50, 60)")


def test_text_that_is_dragged_shows_no_hint(opened):
    opened.evaluate(
        """() => {
            const carried = new DataTransfer()
            carried.setData('text/plain', 'words')
            const event = new DragEvent('dragover', {bubbles: true, cancelable: true, dataTransfer: carried})
            document.querySelector('[data-testid=stMain]').dispatchEvent(event)
        }"""
    )
    expect(opened.get_by_test_id("fileDropHint")).to_be_hidden()


def test_the_upload_stays_on_the_next_page_and_after_back(opened):
    drop(opened, ("cells.png", png(grey(40, 90))))
    wait_for_image(opened, "cells.png (1, 40, 90)")
    opened.locator(".st-key-truth_files input").set_input_files(
        {"name": "mask.png", "mimeType": "image/png", "buffer": png(np.full((40, 90), 255, np.uint8))}
    )
    wait_for_image(opened, "truth 3600")
    opened.get_by_role("link", name="Second").click()
    opened.wait_for_url("**/second*")
    wait_for_image(opened, "cells.png (1, 40, 90) truth 3600")
    drop(opened, ("other.png", png(grey(30, 30))))
    wait_for_image(opened, "other.png (1, 30, 30)")
    opened.go_back()
    wait_for_image(opened, "cells.png (1, 40, 90) truth 3600")


def test_a_link_to_an_upload_asks_for_it_and_shows_a_sample(page, address):
    page.goto(f"{address}/?image=cells.png")
    wait_for_image(page, "phantom_00.tiff")
    expect(page.get_by_test_id("stAlert")).to_have_text(re.compile("cells.png is not here; upload the file again."))
    thumbnail(page, "vessels/phantom_01").click()
    wait_for_image(page, "phantom_01.tiff")
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a picture at all", "broken.png is not a PNG, JPEG or TIFF image"),
        (b"", "broken.png is empty (0 bytes)"),
        (png(grey(64, 64))[:2000], "broken.png is broken or cut off"),
    ],
)
def test_a_broken_file_gets_one_sentence_and_leaves_the_image(opened, content, message):
    drop(opened, ("good.png", png(grey(40, 90))))
    wait_for_image(opened, "good.png (1, 40, 90)")
    drop(opened, ("broken.png", content))
    expect(opened.get_by_test_id("stAlert")).to_contain_text(message)
    wait_for_image(opened, "good.png (1, 40, 90)")
    assert "broken.png" not in names(opened)
    expect(opened.get_by_test_id("stException")).to_have_count(0)


def test_other_channels_get_one_sentence_and_a_way_back(opened):
    drop(opened, ("good.png", png(grey(40, 90))))
    wait_for_image(opened, "good.png (1, 40, 90)")
    drop(opened, ("colour.png", png(np.zeros((40, 40, 3), np.uint8))))
    expect(opened.get_by_test_id("stAlert")).to_contain_text("colour.png has 3 channels and the model vessmap takes 1")
    thumbnail(opened, "good.png").click()
    wait_for_image(opened, "good.png (1, 40, 90)")


def test_a_click_while_the_page_still_runs_is_not_lost(opened):
    thumbnail(opened, "vessels/phantom_05").click()
    thumbnail(opened, "vessels/phantom_06").click()
    wait_for_image(opened, "phantom_06.tiff")
