"""The first screen, and what goes along to the next page, in a real Chromium."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.app import eventually, open_by_side_bar
from tests.browser.viewer import Viewer

pytestmark = pytest.mark.browser


def wait_for_address(page: Page, path: str, pixel: tuple[int, int]) -> None:
    """Until the address names a page, the network, the image, the intensities, the class and the pixel."""
    row, column = pixel
    wanted = (
        "model=scenes",
        "image=scenes%2Fscene_03",
        "scaling=Percentiles",
        "class=car",
        f"row={row}",
        f"column={column}",
    )

    def check() -> None:
        address, _, query = page.url.partition("?")
        assert address.endswith(path)
        assert set(wanted) <= set(query.split("&"))

    eventually(page, check)


def test_a_link_goes_along_to_the_next_page(page, address):
    page.goto(f"{address}/?model=scenes&image=scenes/scene_02")
    Viewer(page).wait(live=False)
    for title, path in (("Class activation maps", "cams"), ("Pixel Explorer", "")):
        open_by_side_bar(page, title)
        page.wait_for_url(re.compile(rf"/{path}\?model=scenes&image=scenes%2Fscene_02"))
        expect(page.get_by_role("combobox", name="Model")).to_have_value("scenes")
        expect(page.locator(".card").first).to_have_attribute("title", "scenes/scene_02")
    # A pixel that the page itself has opened on goes along only where it is sent.
    page.locator(".st-key-send_pixel").get_by_role("link", name="Class activation maps").click()
    page.get_by_text(re.compile("Explained: the .* at row")).wait_for()
    expect(page.get_by_role("combobox", name="Pixels explained")).to_have_value("One pixel")
    expect(page.get_by_role("combobox", name="Model")).to_have_value("scenes")


def test_the_first_screen_fits_and_what_was_looked_at_goes_along(page, address):
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{address}/?model=scenes&image=scenes/scene_03&scaling=Percentiles&class=car")
    viewer = Viewer(page).wait()
    for element in (
        viewer.canvas,
        viewer.root.locator('canvas[data-panel="Gradient map"]'),
        viewer.root.locator(".chips"),
    ):
        box = element.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 800
    expect(viewer.root.locator(".sentence")).to_contain_text("Opened here")
    width = viewer.canvas.get_attribute("width")
    assert width is not None
    page.set_viewport_size({"width": 1264, "height": 800})  # as when a scroll bar appears
    expect(viewer.canvas).not_to_have_attribute("width", width)
    said = viewer.root.locator(".said")
    height = said.bounding_box()["height"]
    chosen = viewer.click(40, 52)
    expect(viewer.root.locator(".sentence")).not_to_contain_text("Opened here")
    assert said.bounding_box()["height"] == height, "what is below stays where it is when the sentence is shorter"
    wait_for_address(page, "/", chosen)
    # As a run does that began before the click.
    page.evaluate("history.pushState({}, '', location.href.replace(/&(row|column)=[0-9]+/g, ''))")
    wait_for_address(page, "/", chosen)
    open_by_side_bar(page, "Class activation maps")
    wait_for_address(page, "/cams", chosen)
    # The next page's first value comes, on a loaded machine, before its path.
    page.locator(".st-key-send_pixel").get_by_role("link", name="Integrated Gradients").evaluate(
        "link => { link.click(); history.pushState({}, '', '?model=scenes') }"
    )
    wait_for_address(page, "/integrated_gradients", chosen)
    # As a run does that ends after Back: it writes its own page's values.
    page.evaluate(
        """() => setInterval(() => location.pathname === '/cams' && history.pushState({}, '', '?explain=Pixel'), 0)"""
    )
    page.go_back()
    wait_for_address(page, "/cams", chosen)
    page.get_by_text("Explained: the car logit at row").wait_for()
    page.go_back()
    wait_for_address(page, "/", chosen)
    assert Viewer(page).wait().run("viewer.scene.pixel") == list(chosen)
