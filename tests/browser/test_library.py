"""The Library page in a real browser."""

import re

from playwright.sync_api import expect

from tests.browser.app import eventually
from tests.browser.layout import faults_of, pale_texts_of
from tests.browser.screenshots import resize
from tests.browser.test_layout import SIZES
from tests.browser.viewer import Viewer


def test_a_network_is_scored_and_a_wrong_pixel_explained(page, address):
    page.goto(f"{address}/library?library_part=Scores")
    viewer = Viewer(page, "Right and wrong").wait(live=False)
    image = page.get_by_role("combobox", name="Image", exact=True)
    expect(image).to_have_value(re.compile(r"^phantom_\d+, IoU 0\.\d+$"))
    stem = image.input_value().partition(",")[0]

    faults = {}
    for size in SIZES:
        resize(page, size)
        if found := faults_of(page):
            faults[size["width"]] = found
    assert not faults
    resize(page, SIZES[0])
    assert pale_texts_of(page) == []

    def first_missed() -> tuple[int, int]:
        layer = "viewer.named('outcome')"
        at, columns = viewer.run(f"[[...{layer}.values].indexOf(3), viewer.scene.size[1]]")
        assert at >= 0
        return at // columns, at % columns

    missed = eventually(page, first_missed)
    viewer.canvas.evaluate("canvas => canvas.scrollIntoView({block: 'start'})")
    page.mouse.click(*viewer.aim(*missed))
    viewer.wait_for_pixel(*missed)
    expect(
        page.get_by_text(f"Pixel ({missed[0]}, {missed[1]}) is labelled background, but the truth is")
    ).to_be_visible()
    page.get_by_role("link", name="Why? Explain this pixel").click()
    explorer = Viewer(page).wait()
    explorer.wait_for_pixel(*missed)
    assert explorer.run("viewer.scene.name").startswith(stem)
