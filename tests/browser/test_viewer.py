"""The viewer by itself: images of every size, touch, what is sent, what is drawn where, and what is saved."""

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from skimage.draw import polygon2mask

from core.display.colours import class_colour
from core.drawn_regions import parts_of, region_mask
from tests.browser.app import PATIENCE, VIEWPORT, eventually, running_app, wait_for_rest
from tests.browser.viewer import Viewer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def alone():
    with running_app(script="tests/browser/viewer_script.py") as url:
        yield url


def open_viewer(page, alone, height: int, width: int) -> Viewer:
    page.goto(f"{alone}/?height={height}&width={width}")
    return Viewer(page).wait(live=False)


def expected_colour(row: int, column: int) -> tuple[int, int, int]:
    return row % 256, column % 256, 255 * ((row + column) % 2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (40, 1200), (1200, 40), (4096, 4096)])
def test_images_of_every_size_are_shown_pixel_by_pixel(page, alone, height, width):
    viewer = open_viewer(page, alone, height, width)
    row, column = 2 * (height - 1) // 3, (width - 1) // 2
    viewer.canvas.focus()
    page.keyboard.press("0")  # a long image begins with a part of it
    eventually(page, lambda: _assert(viewer.run("viewer.zoom") == 1))
    for _ in range(120):
        if float(viewer.run("viewer.scale")) >= 30:
            break
        page.mouse.move(*viewer.aim(row, column))
        before = viewer.run("viewer.zoom")
        page.mouse.wheel(0, -240)
        eventually(page, lambda before=before: _assert(viewer.run("viewer.zoom") != before))
    assert viewer.run("viewer.scale") >= 30
    page.mouse.move(*viewer.aim(row, column))

    def painted() -> None:
        assert viewer.colour("Image", row, column) == pytest.approx(expected_colour(row, column), abs=1)
        words = viewer.readout()
        assert f"row {row}, column {column}" in words
        assert f"class {('none', 'one', 'two')[(row // 7 + column // 5) % 3]}" in words
        value = float(words.rsplit("map ", 1)[1].split()[0].replace("−", "-").replace("·10", "e").translate(SCRIPTS))
        assert value == pytest.approx(np.sin(row / 9) * np.cos(column / 11), abs=1e-3)

    eventually(page, painted)
    page.keyboard.press("Escape")
    viewer.canvas.focus()
    page.keyboard.press("0")
    eventually(page, lambda: _assert(viewer.run("viewer.zoom") == 1))
    whole = [*viewer.run("viewer.toScreen(0, 0)"), *viewer.run(f"viewer.toScreen({height}, {width})")]
    assert min(whole) >= -0.5
    assert whole[2] <= viewer.run("viewer.width") + 0.5
    assert whole[3] <= viewer.run("viewer.height") + 0.5


SCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def _assert(condition: bool) -> None:
    assert condition


def test_the_panels_are_linked(page, alone):
    viewer = open_viewer(page, alone, 60, 90)
    viewer.zoom(6, 30, 40)
    rows, columns = np.mgrid[:60, :90]
    labels = (rows // 7 + columns // 5) % 3
    for row, column in ((30, 40), (31, 43), (28, 38)):
        assert viewer.colour("Image", row, column) == pytest.approx(expected_colour(row, column), abs=1)
        expected = class_colour(int(labels[row, column])) if labels[row, column] else None
        found = viewer.colour("Labels", row, column)
        assert (found == expected) == (expected is not None)


def test_what_the_browser_has_is_not_sent_again(page, alone):
    fetched = []
    page.on(
        "request",
        lambda request: fetched.append(request.url) if "/media/" in request.url.replace("/static/media/", "") else None,
    )
    open_viewer(page, alone, 64, 80)
    assert len(set(fetched)) == len(fetched) == 4, "the picture, its intensities, the labels and the map"
    page.get_by_role("button", name="Run again").click()
    wait_for_rest(page)
    assert len(fetched) == 4


def test_what_could_not_be_fetched_is_asked_for_again(page, alone):
    refused = []

    def refuse_once(route):
        if route.request.url in refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=404)

    page.route(re.compile("(?<!/static)/media/"), refuse_once)
    viewer = open_viewer(page, alone, 64, 80)
    assert len(refused) == 4, "the picture, its intensities, the labels and the map"
    assert viewer.run("viewer.mapOf(viewer.named('map')).height") == 64


def test_touch_picks_and_two_fingers_zoom(browser, alone):
    context = browser.new_context(viewport=VIEWPORT, has_touch=True)
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        viewer = open_viewer(page, alone, 60, 90)
        page.touchscreen.tap(*viewer.aim(20, 31))
        viewer.wait_for_pixel(20, 31)
        x, y = viewer.aim(30, 45)
        touch = page.context.new_cdp_session(page)

        def fingers(kind: str, *apart: int) -> None:
            points = [
                {"x": x + sign * distance, "y": y, "id": i} for distance in apart for i, sign in enumerate((-1, 1))
            ]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        fingers("touchStart", 20)
        for distance in range(22, 62, 4):
            fingers("touchMove", distance)
        fingers("touchEnd")
        assert viewer.run("viewer.zoom") == pytest.approx(58 / 20, rel=0.1)
        assert viewer.run("viewer.scene.pixel") == [20, 31], "a pinch is no tap"
    finally:
        context.close()


def test_drawn_regions_are_those_of_scikit_image(page, alone):
    size = 60, 90
    viewer = open_viewer(page, alone, *size)
    page.get_by_role("radio", name="Box").click()

    def parts(count: int) -> list[dict]:
        found = eventually(page, lambda: _found(viewer.run("viewer.scene.region"), count))
        wait_for_rest(page)
        return found

    viewer.drag((10, 12), (40, 50))
    (box,) = parts(1)
    points = np.sort(np.array(box["points"]), axis=0)
    expected = polygon2mask(size, [points[0], (points[0, 0], points[1, 1]), points[1], (points[1, 0], points[0, 1])])
    np.testing.assert_array_equal(region_mask(size, parts_of(page_text(page))), expected)
    assert abs(points - [[10, 12], [40, 50]]).max() < 1

    page.get_by_role("radio", name="Lasso").click()
    page.keyboard.down("Alt")
    viewer.drag((5, 5), (30, 60), (55, 20), (5, 6))
    page.keyboard.up("Alt")
    _, lasso = parts(2)
    assert lasso["op"] == "subtract"
    expected &= ~polygon2mask(size, lasso["points"])
    np.testing.assert_array_equal(region_mask(size, parts_of(page_text(page))), expected)

    page.get_by_role("radio", name="Add", exact=True).click()
    viewer.drag((45, 60), (45, 85), (58, 85), (58, 60))
    lasso = parts(3)[2]
    assert lasso["op"] == "add"
    expected |= polygon2mask(size, lasso["points"])
    np.testing.assert_array_equal(region_mask(size, parts_of(page_text(page))), expected)

    viewer.canvas.focus()
    page.keyboard.press("Escape")
    parts(0)


def page_text(page) -> str:
    return page.evaluate("new URL(location.href).searchParams.get('box') ?? ''")


def _found(parts: list[dict], count: int) -> list[dict]:
    assert len(parts) == count
    return parts


def test_a_box_and_a_lasso_can_be_drawn_with_keys_alone(page, alone):
    viewer = open_viewer(page, alone, 60, 90)
    page.get_by_role("radio", name="Box").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    viewer.canvas.focus()
    for key in ("Enter", "Shift+ArrowDown", "Shift+ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    (box,) = eventually(page, lambda: _found(viewer.run("viewer.scene.region"), 1))
    start = np.array(box["points"][0])
    assert (np.array(box["points"][1]) - start).tolist() == [10, 11]
    wait_for_rest(page)
    page.get_by_role("radio", name="Lasso").click()
    viewer.canvas.focus()
    for key in ("Enter", "Shift+ArrowDown", "Enter", "Shift+ArrowRight", "Enter", "c"):
        page.keyboard.press(key)
    (lasso,) = eventually(page, lambda: _lasso(viewer.run("viewer.scene.region")))
    start = np.array(lasso["points"][0])
    assert (np.array(lasso["points"]) - start).tolist() == [[0, 0], [10, 0], [10, 10]]


def _lasso(parts: list[dict]) -> list[dict]:
    assert [part["kind"] for part in parts] == ["lasso"]
    return parts


def saved(page, label: str, folder: Path) -> Path:
    """The file that a button of the open menu saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=label, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_what_is_saved_is_what_is_on_screen(page, alone, tmp_path):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    viewer = open_viewer(page, alone, 60, 90)
    viewer.zoom(3, 20, 30)
    page.mouse.move(0, 0)
    eventually(page, lambda: _assert(viewer.run("viewer.hover === null")))
    page.get_by_role("button", name="Save", exact=True).click()
    png, svg = (saved(page, f"Map as {kind}", tmp_path) for kind in ("PNG", "SVG"))
    assert [path.name for path in (png, svg)] == [f"sample_alone_row0_column0_Map.{kind}" for kind in ("png", "svg")]

    drawing = ET.fromstring(svg.read_bytes())  # noqa: S314 - our own file
    space = "{http://www.w3.org/2000/svg}"
    assert [text.text for text in drawing.iter(f"{space}text")] == ["Map", "−1", "−0.5", "0", "0.5", "1", "m"]
    (raster,) = drawing.iter(f"{space}image")
    x, y, width, height = (round(float(raster.attrib[name])) for name in ("x", "y", "width", "height"))
    painted = pixels(base64.b64decode(raster.attrib["href"].partition(",")[2]))
    assert painted.shape == (2 * height, 2 * width, 3)
    assert (pixels(png.read_bytes())[2 * y : 2 * (y + height), 2 * x : 2 * (x + width)] == painted).all()

    page.keyboard.press("Escape")
    screen, frame = pixels(page.screenshot()), viewer.root.locator('canvas[data-panel="Map"]').bounding_box()
    colours = set()
    for row, column in ((20, 30), (14, 35), (22, 27), (18, 33), (24, 31)):
        left, top = viewer.run("viewer.toScreen(argument[0] + 0.5, argument[1] + 0.5)", [row, column])
        on_screen = screen[round(frame["y"] + top), round(frame["x"] + left)]
        assert painted[round(2 * top), round(2 * left)] == pytest.approx(on_screen, abs=2)
        colours.add(tuple(on_screen))
    assert len(colours) > 2, "there is something to compare"

    page.get_by_role("button", name="Save", exact=True).click()
    whole = ET.fromstring(saved(page, "All panels as SVG", tmp_path).read_bytes())  # noqa: S314 - our own file
    texts = {text.text for text in whole.iter(f"{space}text")}
    assert {"Image", "Labels", "Map", "none", "one", "two", "m"} <= texts
    assert len(list(whole.iter(f"{space}image"))) == 3
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("The address of this view is copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_words_and_classes_fit_every_width(page, alone):
    viewer = open_viewer(page, alone, 60, 90)
    root = viewer.root
    assert root.locator(".legend .class").all_inner_texts() == ["none", "one", "two"]
    assert root.locator(".chip").all_inner_texts() == ["two", "wrong"]
    shown = root.locator(".numbers > div:visible dt")
    assert shown.all_inner_texts() == ["First", "Second", "Third", "Fourth"]
    root.get_by_role("button", name="More").press("Enter")
    assert shown.count() == 6
    page.get_by_role("button", name="Run again").click()
    wait_for_rest(page)
    assert shown.count() == 6, "they stay"
    page.get_by_text("More controls").click()
    root.get_by_role("checkbox", name="Another control").wait_for()
    wait_for_rest(page)
    assert root.locator(".chip").all_inner_texts() == ["two", "wrong"]
    assert root.locator(".sentence").inner_text() == "The sentence."
    assert shown.count() == 6, "with other controls around them, too"

    places = "[...root.querySelectorAll('.panel canvas[data-panel]')].map(one => one.getBoundingClientRect())"
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.mouse.move(0, 0)
        eventually(page, lambda width=width: _assert((viewer.run("viewer.across") == 1) == (width == 390)))
        frames = root.evaluate(f"root => {places}.map(({{left, top, right}}) => [left, top, right])")
        lefts, tops, rights = zip(*frames, strict=True)
        assert len(set(tops)) == (3 if width == 390 else 1)
        assert len(set(lefts)) == (1 if width == 390 else 3)
        assert max(rights) <= width
        cut = "one => one.clientWidth && one.scrollWidth > one.clientWidth + 1"
        assert root.evaluate(f"root => [...root.querySelectorAll('*')].filter({cut}).map(one => one.className)") == []
        below = "root.querySelector('.said').getBoundingClientRect().top"
        before = root.evaluate(f"root => {below}")
        page.mouse.move(*viewer.aim(30, 45))
        eventually(page, lambda: _assert("row 30, column 45" in viewer.readout()))
        assert root.evaluate(f"root => {below}") == before, "nothing moves under the pointer"


def test_panels_under_headings_stand_beside_and_below_them(page, alone):
    page.goto(f"{alone}/?height=60&width=90&table=1")
    viewer = Viewer(page, "one one").wait(live=False)
    middles = viewer.root.evaluate("""root => ['.head.row', '.head.column', '.panel'].map(kind =>
        [...root.querySelectorAll(kind)].map(one => one.getBoundingClientRect())
            .map(({left, right, top, bottom}) => [(left + right) / 2, (top + bottom) / 2]))""")
    rows, columns, panels = (np.array(found) for found in middles)
    np.testing.assert_allclose(panels[:, 1], rows[[0, 0, 1, 1], 1], atol=3)
    np.testing.assert_allclose(panels[:, 0], columns[[0, 1, 0, 1], 0], atol=3)
    expect(viewer.root.locator(".figures")).to_be_hidden()
    assert min(viewer.colour("one one", 3, 9.5)) > 150, "a white line between the labels 1 and 2"
    assert viewer.colour("one one", 3, 7) == pytest.approx(expected_colour(3, 7), abs=1)


def test_a_call_of_an_earlier_run_that_comes_late_changes_nothing(page, address):
    page.add_init_script(
        """window.scripts = []
        const make = URL.createObjectURL
        URL.createObjectURL = (...parts) => {
            const url = make.apply(URL, parts)
            if (parts[0].type === 'text/javascript') scripts.push(url)
            return url
        }"""
    )
    page.goto(f"{address}/?image=formats/not_square&row=61&column=99")
    viewer = Viewer(page).wait()
    called = page.evaluate(
        """async () => {
            const called = []
            for (const url of scripts) {
                const {default: run} = await import(url), text = await (await fetch(url)).text()
                for (const {shadowRoot} of document.querySelectorAll('[data-testid=stBidiComponentIsolated]')) {
                    const root = shadowRoot?.querySelector('.viewer, .gallery')
                    const shown = root?.viewer?.scene ?? root?.data
                    if (!shown || !text.includes(`querySelector(".${root.className}")`)) continue
                    const former = {...shown, order: shown.order - 1, pixel: [1, 2], current: {name: 'former'}}
                    run({data: former, parentElement: shadowRoot, setStateValue() {}, setTriggerValue() {}})
                    called.push(root.className)
                }
            }
            return called
        }"""
    )
    assert sorted(called) == ["gallery", "viewer"]
    assert viewer.run("viewer.scene.pixel") == [61, 99]
    assert page.locator(".gallery").first.evaluate("gallery => gallery.data.current.name") == "formats/not_square"
