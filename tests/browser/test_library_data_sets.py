"""The data sets on the Library page in a real browser: a grid that is only made where it is looked at."""

import io
import zipfile

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.app import eventually, wait_for_rest
from tests.browser.layout import pale_texts_of
from tests.browser.test_layout import faults_by_width
from tests.browser.viewer import Viewer

COUNT = 300


def big_set(tmp_path, count: int = COUNT):
    """An archive of `count` images, each with one more column of foreground than another, in no order."""
    order = np.random.default_rng(0).permutation(count)
    path = tmp_path / "stripes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, place in enumerate(order.tolist()):
            mask = np.zeros((64, count + 4), np.uint8)
            mask[:, : place + 2] = 255
            noise = np.random.default_rng(number).integers(0, 90, mask.shape, np.uint8)
            for folder, values in (("images", mask // 2 + noise), ("masks", mask)):
                picture = io.BytesIO()
                Image.fromarray(values).save(picture, "PNG")
                archive.writestr(f"stripes/{folder}/{number:03}.png", picture.getvalue())
    return path, order


def shown(page: Page) -> list[str]:
    """The names of the images whose pictures, with their masks, are on screen and loaded."""
    return page.locator(".tile").evaluate_all(
        """tiles => tiles.filter(tile => {
            const pictures = [...tile.querySelectorAll('img')];
            return pictures.length === 2 && pictures.every(each => each.complete && each.naturalWidth);
        }).sort((a, b) => a.index - b.index).map(tile => tile.querySelector('.name').textContent)"""
    )


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_an_uploaded_set_is_looked_through_opened_and_deleted(browser, page, address, tmp_path):
    path, order = big_set(tmp_path)
    by_share = [f"{number:03}" for number in np.argsort(order)]
    page.goto(f"{address}/library?library_part=Data+sets")
    chosen = page.get_by_role("combobox", name="Data set", exact=True)
    expect(chosen).to_have_value("Sample vessels")
    page.get_by_role("button", name="Add a data set").click()
    page.locator("[data-testid=stFileUploader] input").first.set_input_files(path)
    expect(chosen).to_have_value("stripes")
    expect(page.get_by_text(f"{COUNT} images, 64 × {COUNT + 4} pixels")).to_be_visible()
    page.keyboard.press("Escape")
    wait_for_rest(page)

    choose(page, "Sort by", "Class share")
    eventually(page, lambda: assert_first(shown(page), by_share))
    assert page.locator(".tile").count() < COUNT / 2, "only what is in view is there"
    page.get_by_text("Largest first").click()
    eventually(page, lambda: assert_first(shown(page), by_share[::-1]))
    page.locator(".scroller").evaluate("scroller => scroller.scrollTop = scroller.scrollHeight")
    eventually(page, lambda: assert_last(shown(page), by_share[::-1]))

    assert faults_by_width(page) == {}
    assert pale_texts_of(page) == []

    other = browser.new_context().new_page()
    other.goto(f"{address}/library?library_part=Data+sets")
    expect(other.get_by_role("combobox", name="Data set", exact=True)).to_have_value("Sample vessels")
    wait_for_rest(other)
    other.get_by_role("combobox", name="Data set", exact=True).click()
    expect(other.get_by_role("option", name="Sample fundus")).to_be_visible()
    expect(other.get_by_role("option", name="stripes")).to_have_count(0)
    other.context.close()

    name = eventually(page, lambda: shown(page)[-1])
    page.get_by_role("button", name=f"Open {name} in the Pixel Explorer").click()
    viewer = Viewer(page).wait()
    assert viewer.run("viewer.scene.name").startswith(name)
    chips = " ".join(viewer.run("viewer.scene.words.chips.map(chip => chip[0])"))
    assert "right" in chips or "the truth says" in chips, "its mask is the ground truth"

    page.go_back()
    expect(chosen).to_have_value("stripes")
    wait_for_rest(page)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete this data set").click()
    expect(chosen).to_have_value("Sample vessels")
    wait_for_rest(page)
    assert shown(page) or eventually(page, lambda: shown(page)[0])


def assert_first(names: list[str], expected: list[str]) -> None:
    assert names[:4] == expected[:4]


def assert_last(names: list[str], expected: list[str]) -> None:
    assert names[-4:] == expected[-4:]
