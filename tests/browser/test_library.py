"""The Library page in a real browser."""

import re

from playwright.sync_api import expect

from core.models import CheckpointInfo, CustomResNet, save_checkpoint
from tests.browser.app import eventually, wait_for_rest
from tests.browser.layout import pale_texts_of
from tests.browser.test_layout import faults_by_width
from tests.browser.viewer import Viewer


def test_a_network_is_scored_and_a_wrong_pixel_explained(page, address):
    page.goto(f"{address}/library?library_part=Scores")
    viewer = Viewer(page, "Right and wrong").wait(live=False)
    image = page.get_by_role("combobox", name="Image", exact=True)
    expect(image).to_have_value(re.compile(r"^phantom_\d+, IoU 0\.\d+$"))
    stem = image.input_value().partition(",")[0]

    assert faults_by_width(page) == {}
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


def test_a_network_is_uploaded_renamed_used_and_deleted(browser, page, address, tmp_path):
    info = CheckpointInfo("custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, mean=(0.5,))
    checkpoint = save_checkpoint(tmp_path / "mice.safetensors", CustomResNet(width=2), info)
    page.goto(f"{address}/library")
    model = page.get_by_role("combobox", name="Model", exact=True)
    expect(model).to_have_value("vessmap")
    page.get_by_text("receptive field", exact=True).wait_for()
    wait_for_rest(page)
    assert pale_texts_of(page) == []
    model.click()
    page.get_by_role("option", name="Upload…").click()
    page.locator("[data-testid=stFileUploader] input").set_input_files(checkpoint)
    expect(model).to_have_value("mice.safetensors")
    expect(page.get_by_role("heading", name="mice.safetensors")).to_be_visible()
    wait_for_rest(page)
    page.get_by_role("button", name="Rename").click()
    name = page.get_by_role("textbox", name="New name")
    name.fill("vessels of mice")
    name.press("Enter")
    wait_for_rest(page)
    page.get_by_role("button", name="Rename").last.click()
    expect(model).to_have_value("vessels of mice")

    other = browser.new_context().new_page()
    other.goto(f"{address}/library?model=vessels+of+mice")
    expect(other.get_by_role("combobox", name="Model", exact=True)).to_have_value("vessmap")
    other.context.close()

    wait_for_rest(page)
    page.get_by_role("link", name="Explain with it").click()
    Viewer(page).wait()
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value("vessels of mice")
    page.goto(f"{address}/library?model=vessels+of+mice")
    expect(page.get_by_role("heading", name="vessels of mice")).to_be_visible()
    wait_for_rest(page)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete this network").click()
    expect(model).to_have_value("vessmap")
    wait_for_rest(page)
