"""The report of a page: one file that holds the pictures, the words and how to make them again."""

import re
from html import unescape

import pytest
from playwright.sync_api import expect

from tests.browser.viewer import Viewer

pytestmark = pytest.mark.browser


def test_a_report_stands_alone_and_says_what_is_on_screen(page, address, tmp_path):
    page.goto(f"{address}/?image=vessels/phantom_00&row=128&column=110&smooth=true")
    viewer = Viewer(page).wait()
    expect(viewer.root.locator(".numbers > div").first).to_be_visible()
    viewer.root.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (HTML)").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "phantom_00_explorer_row128_column110.html"
    text = unescape(path.read_text(encoding="utf-8"))
    assert not re.search(r'(src|href)="(?!data:|http://localhost)', text)
    for value in (*viewer.numbers().values(), viewer.root.locator(".sentence").inner_text()):
        assert value in text
    for words in ("PixelSet('point', 128, 110)", "'smoothgrad', {}", "--row 128 --column 110", "<th>SmoothGrad</th>"):
        assert words.replace("<th>", '<th scope="row">') in text

    page.goto(path.as_uri())
    expect(page.get_by_role("heading", name="Make it again in Python")).to_be_visible()
    assert page.locator("svg image").count() == 2
    sizes = page.locator("svg image").evaluate_all("images => images.map(image => image.getBoundingClientRect().width)")
    assert min(sizes) > 200
