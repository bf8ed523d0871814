"""The gallery of images, the next error and files dropped on the page, in a real browser."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from core import load_segmenter, read_image
from core.data.images import read_mask
from tests.browser.app import ROOT, eventually, running_app, wait_for_rest

VESSELS = ROOT / "sample_data" / "vessels"
DRAG = """([kinds, files]) => {
    const carried = new DataTransfer()
    for (const [name, type, bytes] of files) carried.items.add(new File([new Uint8Array(bytes)], name, {type}))
    const target = document.querySelector('[data-testid=stMain]')
    const options = {bubbles: true, composed: true, cancelable: true, dataTransfer: carried}
    return kinds.map(kind => !target.dispatchEvent(new DragEvent(kind, options)))
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of more images than one view holds, one of them cut off."""
    made = tmp_path_factory.mktemp("many, images")
    (made / "night, wet").mkdir()
    for number in range(70):
        Image.fromarray(grey(16, 24, number)).save(made / "night, wet" / f"{number:02}.png")
    (made / "night, wet" / "cut.png").write_bytes(png(grey(64, 64))[:2000])
    return made


@pytest.fixture(scope="module")
def address(folder):
    with running_app(
        script=str(Path(__file__).with_name("gallery_app.py")), arguments=("--images", str(folder))
    ) as url:
        yield url


@pytest.fixture
def opened(page, address):
    page.goto(f"{address}/?image=vessels/phantom_00")
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


def grey(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width), np.uint8)


def drag(page: Page, kinds: list[str], *files: tuple[str, bytes]) -> list[bool]:
    """Whether the page took each of the events."""
    return page.evaluate(DRAG, [kinds, [[name, "image/png", list(content)] for name, content in files]])


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    assert drag(page, ["dragenter", "dragover", "drop"], *files) == [True, True, True]


def card(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Image: "))


def tile(page: Page | Locator, name: str) -> Locator:
    return page.locator(f'.tile[title="{name}"]')


def choose(page: Page, name: str) -> None:
    card(page).click()
    tile(page, name).click()


def test_the_gallery_by_mouse_and_keyboard(opened):
    card(opened).click()
    dialog = opened.get_by_role("dialog", name="Images")
    current = tile(opened, "vessels/phantom_00")
    expect(current).to_have_attribute("aria-current", "true")
    expect(current).to_be_focused()
    # The scores of the images in view come by themselves.
    segmenter = load_segmenter("vessmap", "cpu")
    predicted = segmenter.predict(read_image(VESSELS / "images" / "phantom_03.tiff")).labels
    truth = read_mask(next((VESSELS / "labels").glob("phantom_03.*")))
    dice = 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())
    expect(tile(opened, "vessels/phantom_03")).to_have_accessible_name(f"vessels/phantom_03, Dice {dice:.3f}")
    # The picture on a thumbnail, in the browser's own pixels, against Pillow's reduction of the file.
    picture = tile(opened, "vessels/phantom_03").locator("img")
    shown = picture.evaluate(
        """async picture => {
            await picture.decode()
            const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight)
            const pen = canvas.getContext('2d')
            pen.drawImage(picture, 0, 0)
            return [...pen.getImageData(0, 0, canvas.width, canvas.height).data]
        }"""
    )
    expected = Image.open(VESSELS / "images" / "phantom_03.tiff").convert("L").resize((168, 168), Image.Resampling.BOX)
    assert np.abs(np.reshape(shown, (168, 168, 4))[..., 0] - np.asarray(expected, float)).mean() < 2
    # Arrows, Enter: the image, its address, the card.
    opened.keyboard.press("ArrowRight")
    expect(tile(opened, "vessels/phantom_01")).to_be_focused()
    assert opened.locator("dialog .tile[tabindex='0']").count() == 1
    opened.keyboard.press("Enter")
    wait_for_image(opened, "phantom_01.tiff")
    expect(dialog).to_have_count(0)
    expect(card(opened)).to_be_focused()
    expect(card(opened)).to_have_accessible_name(re.compile(r"^Image: vessels/phantom_01, Dice 0\.\d{3}"))
    assert re.search("image=vessels(/|%2F)phantom_01", opened.url)
    # A click, then Back.
    choose(opened, "vessels/phantom_03")
    wait_for_image(opened, "phantom_03.tiff")
    opened.go_back()
    wait_for_image(opened, "phantom_01.tiff")
    expect(card(opened)).to_have_accessible_name(re.compile("^Image: vessels/phantom_01"))
    # On a phone nothing is cut off.
    opened.set_viewport_size({"width": 390, "height": 800})
    opened.get_by_test_id("stExpandSidebarButton").click()
    card(opened).click()
    tile(opened, "vessels/phantom_01").wait_for()
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    opened.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_press_is_not_lost_while_other_images_come(opened):
    card(opened).click()
    pressed = tile(opened, "vessels/phantom_12")
    pressed.hover()
    opened.mouse.down()
    opened.keyboard.type("phantom_1")

    def only_those_found_came() -> None:
        groups = pressed.evaluate("tile => tile.getRootNode().querySelector('.gallery').data.groups")
        assert sum(group["count"] for group in groups) == 6

    eventually(opened, only_those_found_came)
    opened.mouse.up()
    wait_for_image(opened, "phantom_12.tiff")


def test_thumbnails_that_could_not_be_fetched_are_asked_for_again(page, address):
    refuses = True
    page.route(
        re.compile("(?<!/static)/media/"), lambda route: route.fulfill(status=404) if refuses else route.continue_()
    )
    page.goto(f"{address}/?image=vessels/phantom_00")
    card(page).click()
    for number in range(16):
        expect(tile(page, f"vessels/phantom_{number:02}")).to_have_accessible_name(re.compile("Dice"))
    expect(card(page)).to_have_accessible_name(re.compile("Dice"))
    page.locator(".card img").evaluate("picture => picture.dataset.refused = true")
    refuses = False
    expect(page.locator(".card img[data-refused]")).to_have_js_property("naturalWidth", 168)


def test_a_large_folder_is_paged_and_searched(opened, folder):
    card(opened).click()
    group = opened.get_by_role("region", name=folder.name)
    expect(group.locator(".tile")).to_have_count(60)
    expect(group.get_by_role("heading")).to_have_text(f"{folder.name} 71")
    opened.get_by_role("button", name=f"Later images of {folder.name}").click()
    expect(group.get_by_role("status")).to_have_text("61–71")
    expect(group.locator(".tile")).to_have_count(11)
    height = opened.locator("dialog[open]").bounding_box()["height"]
    opened.keyboard.type("cut")  # goes into the search field
    expect(opened.locator(".tile")).to_have_count(1)
    assert opened.locator("dialog[open]").bounding_box()["height"] > 0.8 * height
    opened.keyboard.press("Enter")
    expect(opened.get_by_test_id("stAlert")).to_contain_text("cut.png is broken or cut off")
    # Where nothing can be shown, the other images stand on the page, and a place to drop a file.
    main = opened.get_by_test_id("stMain")
    with opened.expect_file_chooser():
        main.get_by_role("button", name=re.compile("Drop an image")).click()
    tile(main, "vessels/phantom_05").click()
    wait_for_image(opened, "phantom_05.tiff")


def test_the_next_error_leads_on_and_a_mistyped_image_is_told(page, address):
    page.goto(f"{address}/?image=vessels/phantom_1")
    expect(page.get_by_test_id("stAlert")).to_contain_text(
        "There is no image “vessels/phantom_1” here; did you mean “ves"
    )
    choose(page, "vessels/phantom_13")
    wait_for_image(page, "phantom_13.tiff")
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    labels = load_segmenter("vessmap", "cpu").predict(read_image(VESSELS / "images" / "phantom_13.tiff")).labels
    truth = read_mask(next((VESSELS / "labels").glob("phantom_13.*")))
    found = set()
    for number in (2, 3):  # the page has opened on the first
        page.get_by_role("button", name="Next prediction error").click()
        sentence = page.get_by_text(re.compile(f"error {number} of "))
        words = sentence.inner_text()
        row, column = map(int, re.search(r"row (\d+), column (\d+)", words).groups())
        wait_for_image(page, f"pixel {row} {column}")
        kind = "False negative" if truth[row, column] else "False positive"
        assert words.startswith(kind)
        assert labels[row, column] != truth[row, column]
        found.add((row, column))
    assert len(found) == 2


def test_dropped_files_and_conversion_inside_its_error(opened):
    hint = opened.get_by_test_id("fileDropHint")

    def dragged() -> None:
        drag(opened, ["dragenter", "dragover"], ("a.png", b""))  # again and again, as a browser tells it
        assert hint.is_visible()

    eventually(opened, dragged)
    drag(opened, ["dragleave"])
    expect(hint).to_be_hidden()
    drop(opened, ("first.png", png(grey(40, 90))), ("colour.png", png(np.zeros((40, 40, 3), np.uint8))))
    wait_for_image(opened, "first.png (1, 40, 90) truth none")
    expect(hint).to_be_hidden()
    box = card(opened).locator("img").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(90 / 40, rel=0.05)
    choose(opened, "colour.png")
    expect(opened.get_by_test_id("stAlert")).to_contain_text("colour.png has 3 channels and the model vessmap takes 1")
    opened.get_by_test_id("stMain").get_by_role("button", name="Convert to grey").click()
    wait_for_image(opened, "colour.png (1, 40, 40)")
    opened.get_by_role("link", name="Second").click()
    opened.wait_for_url("**/second*")
    wait_for_image(opened, "colour.png (1, 40, 40)")
