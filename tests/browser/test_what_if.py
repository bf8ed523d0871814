"""The brush of the What if page in a real Chromium, against predictions of the image that is on screen."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core import load_segmenter, read_image
from core.counterfactual import Brush, Edit, Painting
from tests.browser.app import ROOT, VIEWPORT, eventually, open_by_side_bar, running_app, wait_for_rest
from tests.browser.test_layout import faults_by_width
from tests.browser.viewer import Viewer

pytestmark = pytest.mark.browser

PHANTOM = ROOT / "sample_data" / "vessels" / "images" / "phantom_00.tiff"
QUERY = "image=vessels/phantom_00&space=Probability"


class Easel(Viewer):
    """The viewer that is painted on."""

    def __init__(self, page: Page, address: str, query: str = QUERY) -> None:
        super().__init__(page)
        page.goto(f"{address}/what_if?{query}")
        self.wait()
        self.canvas.scroll_into_view_if_needed()

    def wait_for_paint(self) -> None:
        """Until everything that the hand did is answered, and the labels are those of a run of the whole image."""

        def done() -> None:
            assert self.run("[viewer.painter.queue.length, viewer.painter.wants, viewer.channel.idle]") == [
                0,
                None,
                True,
            ]
            assert self.run(
                "viewer.painter.checked === viewer.painter.version || viewer.painter.version === 0 "
                "|| viewer.painter.checked + 1 === viewer.painter.version"
            )

        eventually(self.page, done)

    def image(self) -> np.ndarray:
        """The intensities on screen, (C, H, W)."""
        found = self.run("(({values, shape}) => ({values: [...values], shape}))(viewer.named('image').intensities)")
        return np.array(found["values"], np.float32).reshape(found["shape"])

    def labels(self, layer: str = "prediction") -> np.ndarray:
        """The labels on screen, (H, W)."""
        return np.array(self.run("[...viewer.named(argument).values]", layer)).reshape(self.run("viewer.scene.size"))

    def choose(self, tool: str) -> None:
        """Take a tool."""
        self.root.get_by_role("radio", name=tool, exact=True).click()

    def brush(self, name: str) -> None:
        """Take a brush."""
        self.root.get_by_label("Brush", exact=True).select_option(label=name)
        wait_for_rest(self.page)

    def press(self, name: str) -> None:
        """Press one of the buttons."""
        self.root.get_by_role("button", name=name, exact=True).click()
        self.wait_for_paint()

    def check(self, segmenter, original: np.ndarray) -> None:
        """What is on screen is the prediction of the image that is on screen."""
        image = self.image()
        before, now = segmenter.predict(original), segmenter.predict(image)
        assert np.array_equal(self.labels("labels"), now.labels)
        assert np.array_equal(self.labels("changed") > 0, now.labels != before.labels)
        difference = self.values("difference", now.labels.shape)
        np.testing.assert_allclose(difference, now.probabilities[1] - before.probabilities[1], atol=2e-5)


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


@pytest.fixture(scope="module")
def phantom():
    return read_image(PHANTOM)


def neck(segmenter, image: np.ndarray, radius: float = 6.0) -> tuple[int, int]:
    """A pixel of a vessel whose label goes when it is filled in from around it."""
    labels = segmenter.predict(image).labels
    for row, column in np.argwhere(labels == 1)[::97]:
        painting = Painting(image)
        painting.begin(Brush("inpaint", radius))
        painting.draw([(row, column)])
        if segmenter.predict(painting.image).labels[row, column] == 0 and 20 < row < 236 and 20 < column < 236:
            return int(row), int(column)
    raise AssertionError("no vessel is narrow enough")


def test_painting_over_a_vessels_neck_changes_its_label_and_undo_brings_all_back(page, address, segmenter, phantom):
    row, column = neck(segmenter, phantom)
    easel = Easel(page, address, f"{QUERY}&row={row}&column={column}")
    before = easel.labels("labels")
    assert before[row, column] == 1
    easel.drag((row, column), (row, column + 2), (row, column))
    easel.wait_for_paint()
    assert easel.labels("labels")[row, column] == 0
    easel.check(segmenter, phantom)
    chips = easel.root.locator(".said .chip").all_inner_texts()
    assert chips == ["vessel", "became", "background"]
    now = segmenter.predict(easel.image())
    assert easel.numbers()["Labels changed"] == f"{(now.labels != before).sum():,} px"
    easel.press("Undo")
    assert np.array_equal(easel.image(), phantom)
    assert np.array_equal(easel.labels("labels"), before)
    assert not easel.values("difference", before.shape).any()
    easel.press("Redo")
    assert easel.labels("labels")[row, column] == 0
    easel.check(segmenter, phantom)


_GROUNDS = """(() => {
    if (argument.anew) viewer.panels.forEach(part => part.scratch.clear())
    viewer.paintGround()
    return viewer.panels.map(({ground: {width, height}, ground}) => {
        const {data} = ground.getContext('2d').getImageData(0, 0, width, height)
        return data.reduce((sum, value, index) => (sum + (value + 1) * (index % 9973 + 1)) % 2147483647, 0)
    })
})()"""
"""A checksum of what is painted in each panel."""


@pytest.mark.parametrize("zoom", [1, 3])
def test_what_is_painted_anew_in_part_looks_as_if_all_were_painted_anew(page, address, zoom):
    easel = Easel(page, address)
    easel.run("viewer.painter.rest = () => {}")  # an answer of the whole image would hide what a part left behind
    easel.run("(viewer.zoom = argument, viewer.draw())", zoom)
    first = easel.run(_GROUNDS, {"anew": True})

    def answered() -> None:
        assert easel.run("viewer.channel.idle && !viewer.painter.queue.length && !viewer.painter.wants")

    for row, column in ((110, 120), (140, 135), (120, 100)):
        easel.drag((row, column), (row + 8, column + 10))
        eventually(page, answered)
    easel.run("viewer.painter.undo.click()")
    eventually(page, answered)
    parts, whole = easel.run(_GROUNDS, {"anew": False}), easel.run(_GROUNDS, {"anew": True})
    assert parts == whole
    assert parts != first


def test_a_saved_edit_is_the_same_after_a_reload_and_refuses_another_image(page, address, phantom, tmp_path):
    easel = Easel(page, address)
    easel.brush("Noise")
    easel.drag((60, 60), (90, 120), (140, 130))
    easel.wait_for_paint()
    image, labels, numbers = easel.image(), easel.labels("labels"), easel.numbers()
    assert not np.array_equal(image, phantom)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the edit").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert np.array_equal(Edit.load(file).apply(phantom), image)
    page.reload()
    easel.wait()
    assert np.array_equal(easel.image(), phantom)
    open_edit(page, file)

    def opened() -> None:
        assert np.array_equal(easel.image(), image)
        assert np.array_equal(easel.labels("labels"), labels)

    eventually(page, opened)
    wait_for_rest(page)
    same = [name for name in numbers if name not in ("Steps", "Largest error", "Labels computed again")]
    assert {name: easel.numbers()[name] for name in same} == {name: numbers[name] for name in same}
    page.goto(f"{address}/what_if?image=vessels/phantom_01")
    easel.wait()
    open_edit(page, file)
    expect(page.get_by_text("The edit was made of another image of this size").first).to_be_visible()


def open_edit(page: Page, file: Path) -> None:
    page.get_by_role("button", name="Open an edit").click()
    page.locator('[data-testid="stPopoverBody"] input[type=file]').set_input_files(file)
    wait_for_rest(page)


def test_two_sessions_that_paint_at_once_do_not_mix(browser, address, segmenter, phantom):
    contexts = [browser.new_context(viewport=VIEWPORT) for _ in range(2)]
    try:
        easels = [Easel(context.new_page(), address) for context in contexts]
        rows = 60, 180
        for easel, row in zip(easels, rows, strict=True):
            easel.page.mouse.move(*easel.aim(row, 40))
            easel.page.mouse.down()
        for column in range(45, 200, 10):
            for easel, row in zip(easels, rows, strict=True):
                easel.page.mouse.move(*easel.aim(row, column))
        for easel in easels:
            easel.page.mouse.up()
        for easel, row in zip(easels, rows, strict=True):
            easel.wait_for_paint()
            changed = (easel.image() != phantom).any(axis=(0, 2))
            assert changed[row]
            assert not changed[: row - 8].any()
            assert not changed[row + 9 :].any()
            easel.check(segmenter, phantom)
    finally:
        for context in contexts:
            context.close()


def test_an_area_is_moved_by_hand_and_by_keys_and_copied(page, address, segmenter, phantom):
    easel = Easel(page, address)
    easel.choose("Box")
    easel.drag((80, 80), (119, 119))
    easel.drag((100, 100), (110, 130))
    easel.wait_for_paint()
    moved = easel.image()
    step = easel.run("viewer.painter.paint && viewer.parts[0].points")
    assert (moved != phantom).any()
    easel.check(segmenter, phantom)
    page.keyboard.press("Alt+ArrowDown")
    easel.wait_for_paint()
    after = easel.run("viewer.parts[0].points")
    assert [row for row, _ in after] == [row + 1 for row, _ in step]
    assert not np.array_equal(easel.image(), moved)
    easel.check(segmenter, phantom)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    easel.wait_for_paint()
    assert np.array_equal(easel.image(), phantom)
    easel.press("Fill area")
    assert (easel.image() != phantom).any()
    easel.check(segmenter, phantom)
    easel.press("Restore all")
    assert np.array_equal(easel.image(), phantom)


def test_a_stroke_survives_a_lost_connection(page, address, segmenter, phantom):
    easel = Easel(page, address)
    easel.brush("Local mean")
    page.mouse.move(*easel.aim(60, 60))
    page.mouse.down()
    for number, column in enumerate(range(65, 190, 5)):
        page.mouse.move(*easel.aim(100, column))
        if number in (5, 15):
            easel.run("viewer.channel.socket?.close()")
    page.mouse.up()
    easel.wait_for_paint()
    points = easel.run("viewer.painter.version")
    assert points > 0
    image = easel.image()
    assert (image != phantom).any(axis=0)[100, 65:185].all()  # no piece of the way is missing
    easel.check(segmenter, phantom)
    easel.press("Undo")
    assert np.array_equal(easel.image(), phantom)  # it was one stroke


def test_a_dab_by_the_keyboard_alone(page, address, segmenter, phantom):
    easel = Easel(page, address)
    row, column = easel.run("viewer.scene.pixel")
    easel.canvas.focus()
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    easel.wait_for_paint()
    changed = (easel.image() != phantom).any(axis=0)
    rows, columns = np.nonzero(changed)
    assert np.abs(rows - (row - 10)).max() <= 6
    assert np.abs(columns - column).max() <= 6
    easel.check(segmenter, phantom)


def test_the_edit_is_still_there_after_another_page(page, address):
    easel = Easel(page, address)
    easel.drag((60, 60), (90, 120))
    easel.wait_for_paint()
    image = easel.image()
    open_by_side_bar(page, "Pixel Explorer")
    Viewer(page).wait()
    open_by_side_bar(page, "What if")
    easel.wait()
    assert np.array_equal(easel.image(), image)


def test_colours_and_many_classes(page, address):
    easel = Easel(page, address, "model=scenes&image=scenes/scene_00&space=Probability")
    segmenter = load_segmenter("scenes", "cpu")
    original = easel.image()
    assert len(original) == 3
    easel.brush("Intensity")
    easel.root.get_by_label("Colour", exact=True).fill("#ff8000")
    wait_for_rest(page)
    easel.drag((60, 60), (60, 100))
    easel.wait_for_paint()
    painted = (easel.image() != original).any(axis=0)
    assert np.allclose(easel.image()[:, 60, 80], [1, 128 / 255, 0])
    assert painted.sum() > 100
    now = segmenter.predict(easel.image())
    assert np.array_equal(easel.labels("labels"), now.labels)


@pytest.mark.parametrize("view", ["Paint", "Smallest change", "Fragility map"])
def test_the_page_fits_every_width(page, address, view):
    page.goto(f"{address}/what_if?{QUERY}&what_if={view.replace(' ', '+')}")
    page.locator('.viewer[data-ready="true"]').first.wait_for()
    wait_for_rest(page)
    assert not faults_by_width(page)


def test_the_edited_image_is_kept_with_its_truth_and_explained(page, address):
    easel = Easel(page, address)
    easel.drag((60, 60), (90, 120))
    easel.wait_for_paint()
    image = easel.image()
    page.get_by_role("button", name="Keep it as my image").click()
    page.wait_for_url(re.compile(r"image=phantom_00_edited"))
    easel.wait()
    assert np.array_equal(easel.image(), image)
    open_by_side_bar(page, "Pixel Explorer")
    explorer = Viewer(page).wait()
    found = explorer.run("(({values}) => [...values])(viewer.named('image').intensities)")
    assert np.array_equal(np.array(found, np.float32).reshape(image.shape), image)
    assert "truth" in explorer.run("[...viewer.layers()].map(layer => layer.name)")


def test_the_smallest_change_is_found_shown_and_still_there_after_back(page, address, segmenter, phantom, tmp_path):
    row, column = 130, 78
    query = f"image=vessels/phantom_00&what_if=Smallest+change&pixel_set=One+pixel&row={row}&column={column}"
    page.goto(f"{address}/what_if?{query}")
    page.get_by_role("button", name="Find the change").click()
    expect(page.get_by_text("This change turns the pixel from vessel to background")).to_be_visible(timeout=120_000)
    wait_for_rest(page)
    shown = Viewer(page, "Changed image").wait(live=False)
    found = shown.run(
        "(({values, shape}) => ({values: [...values], shape}))(viewer.named('changed image').intensities)"
    )
    changed = np.array(found["values"], np.float32).reshape(found["shape"])
    assert segmenter.predict(changed).labels[row, column] != segmenter.predict(phantom).labels[row, column]
    with page.expect_download() as download:
        page.get_by_role("button", name="Edit", exact=True).click()
    download.value.save_as(tmp_path / "edit.zip")
    assert np.array_equal(Edit.load(tmp_path / "edit.zip").apply(phantom), changed)
    open_by_side_bar(page, "Trust")
    page.get_by_role("heading", name="Can it be trusted?").wait_for()
    page.go_back()
    expect(page.get_by_text("This change turns the pixel from vessel to background")).to_be_visible(timeout=120_000)


def test_a_fragility_map_grows_is_still_there_after_a_reload_and_leads_to_the_smallest_change(page, tmp_path):
    with running_app(WHYPIXEL_RUNS=str(tmp_path)) as address:  # what an earlier run has kept would be shown at once
        page.goto(f"{address}/what_if?image=vessels/phantom_00&what_if=Fragility+map&what_if_every=120")
        page.get_by_role("button", name="Compute the map").click()
        words = page.get_by_text(re.compile(r"^Half of the labels flip by a change of L2 norm [\d.]+ or less"))
        expect(words).to_be_visible(timeout=120_000)
        found = words.inner_text()
        shown = Viewer(page, "Distance to the flip").wait(live=False)
        assert shown.run("viewer.named('distance').map.signed.length") == 4
        page.reload()
        expect(words).to_be_visible(timeout=120_000)
        assert words.inner_text() == found
        expect(page.get_by_role("button", name="Compute the map")).to_have_count(0)
        wait_for_rest(page)
        page.get_by_role("button", name="The smallest change of this pixel").click()
        expect(page.get_by_role("button", name="Find the change")).to_be_visible()
