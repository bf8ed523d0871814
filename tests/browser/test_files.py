"""Uploads in a real browser: they stay on all pages and over a reload, and no other browser sees them."""

import io
import re

import numpy as np
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from core.models import CheckpointInfo, CustomResNet, save_checkpoint
from tests.browser.app import PATIENCE, VIEWPORT, eventually, open_by_side_bar, wait_for_rest
from tests.browser.viewer import Viewer


def png(name: str, values: np.ndarray) -> FilePayload:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def your_files(page: Page, number: int) -> Locator:
    button = page.get_by_role("button", name=f"Your files ({number})")
    expect(button).to_be_visible()
    wait_for_rest(page)
    return button


def network(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Model", exact=True)


def shown(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=f"Image: {name}")


def test_uploads_stay_on_all_pages_and_over_a_reload_for_this_browser_alone(browser, page, address, tmp_path):
    info = CheckpointInfo("custom_resnet", {"in_channels": 1, "num_classes": 2, "width": 2}, mean=(0.5,))
    checkpoint = save_checkpoint(tmp_path / "mine.safetensors", CustomResNet(width=2), info)
    values = np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8)
    page.goto(f"{address}/?model=vesmap")
    expect(page.get_by_test_id("stAlert")).to_contain_text("There is no model “vesmap” here; did you mean “vessmap”?")
    (cookie,) = [cookie for cookie in page.context.cookies() if cookie["name"] == "whypixel_browser"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")

    file: FilePayload = {"name": "mine.safetensors", "mimeType": "", "buffer": checkpoint.read_bytes()}
    page.locator(".st-key-image_files input").set_input_files([png("cells.png", values), file])
    your_files(page, 2)
    page.locator(".st-key-truth_files input").set_input_files(png("mask.png", np.uint8(255) * (values > 99)))
    your_files(page, 3)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)

    for _ in ("after a change of the page", "after a reload"):
        if "jacobian" in page.url:
            page.reload()
        else:
            open_by_side_bar(page, "Jacobian")
            page.wait_for_url("**/jacobian*")
        your_files(page, 3)
        expect(shown(page, "cells.png")).to_be_visible()
        expect(network(page)).to_have_value("mine.safetensors")
        expect(page.get_by_role("button", name="Remove the ground truth")).to_be_visible()

    with browser.new_context(viewport=VIEWPORT) as stranger:
        other = stranger.new_page()
        other.goto(page.url)
        sentence = "cells.png is not here; upload the file again."
        expect(other.get_by_test_id("stAlert").filter(has_text=sentence)).to_be_visible(timeout=PATIENCE)
        expect(other.get_by_role("button", name="Your files")).to_have_count(0)

    your_files(page, 3).click()
    page.get_by_role("button", name=re.compile("Remove$")).first.click()
    your_files(page, 1)
    expect(shown(page, "vessels/phantom_00")).to_be_visible()
    expect(network(page)).to_have_value("mine.safetensors")


def test_back_to_an_image_that_was_removed_keeps_what_is_shown(page, address):
    page.goto(f"{address}/?image=vessels/phantom_01&row=30&column=31")
    viewer = Viewer(page).wait()
    values = np.random.default_rng(1).integers(0, 255, (96, 128), np.uint8)
    page.locator(".st-key-image_files input").set_input_files(png("cells.png", values))
    your_files(page, 1)
    viewer.wait_for_size(96, 128).wait().click(90, 120)
    your_files(page, 1).click()
    page.get_by_role("button", name=re.compile("Remove$")).first.click()
    viewer.wait_for_size(256, 256).wait()
    pixel = viewer.run("viewer.scene.pixel")
    page.go_back()

    def answered() -> None:
        assert "cells.png" not in page.url
        assert viewer.run("viewer.restoring") is None

    eventually(page, answered)
    viewer.wait()
    assert viewer.run("viewer.scene.pixel") == pixel
    assert f"row={pixel[0]}&column={pixel[1]}" in page.url
