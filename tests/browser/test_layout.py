"""Every page fits: no text is cut off or overlaps, and nothing scrolls sideways, at five widths."""

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.app import eventually
from tests.browser.layout import faults_of, pale_texts_of
from tests.browser.screenshots import PAGES, SCHEMES, open_page, resize

pytestmark = pytest.mark.browser

SIZES: tuple[ViewportSize, ...] = (
    {"width": 1280, "height": 800}, {"width": 1920, "height": 1080}, {"width": 1000, "height": 800},
    {"width": 800, "height": 900}, {"width": 390, "height": 844},
)  # fmt: skip
MODEL = dict.fromkeys(PAGES, "scenes") | {"jacobian": "vessmap"}
"""Of the one the Jacobian has an example, of the other there are eight classes."""
IS_SCHEME = """scheme => {
    const {colorScheme} = getComputedStyle(document.querySelector('[data-testid=stApp]'))
    // What has finished is listed until the next frame, which may not come by itself.
    return colorScheme === scheme && document.getAnimations().every(({playState}) => playState === 'finished')
}"""


@pytest.mark.parametrize("name", PAGES)
def test_every_page_fits(name, browser, address):
    page = open_page(browser, f"{address}/{PAGES[name]}?model={MODEL[name]}")
    faults = {}
    for size in SIZES:
        resize(page, size)
        if size == SIZES[0]:
            assert_choices_are_above_the_fold(page, name)
        if size["width"] == 800:
            assert page.get_by_test_id("stSidebar").bounding_box()["width"] < 240
        if found := faults_of(page):
            faults[size["width"]] = found
    page.close()
    assert not faults


def faults_by_width(page: Page) -> dict[int, list[str]]:
    """What is wrong with the layout of a page, seen from its top, in all widths; the first one is set at the end."""
    found = {}
    for size in SIZES:
        resize(page, size)
        page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
        if faults := faults_of(page):
            found[size["width"]] = faults
    resize(page, SIZES[0])
    return found


def assert_choices_are_above_the_fold(page: Page, name: str) -> None:
    """What is chosen often, even while two computations are shown at the foot of the page."""
    labels = {"jacobian": ("Model", "Class", "Score"), "integrated_gradients": ("Model", "Rather than …", "Score")}
    side_bar = page.get_by_test_id("stSidebar")
    for label in labels.get(name, ("Model", "Class", "Rather than …", "Score")):
        box = side_bar.get_by_role("combobox", name=label, exact=True).bounding_box()
        assert box["y"] + box["height"] <= 712, label
    if name == "trust":
        tops = page.locator(".viewer").first.evaluate(
            "node => [...node.querySelectorAll('.picture')].map(picture => picture.getBoundingClientRect().top)"
        )
        assert len(tops) == 2
        assert len(set(tops)) == 1


def test_a_table_wider_than_a_phone_fades_where_there_is_more(browser, address):
    page = open_page(browser, f"{address}/cams?model=scenes")
    table = page.locator(".panels.table")
    resize(page, SIZES[0])
    fade = "node => getComputedStyle(node).mask"
    assert table.evaluate(fade) == "none"
    resize(page, SIZES[-1])
    expect(table).to_have_css("mask-position", "-40px 0px")  # the fade lies over the right edge
    table.evaluate("node => node.scrollLeft = 1000")
    expect(table).to_have_css("mask-position", "0px 0px")  # and beyond it
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_text_stands_out_from_its_background(name, browser, address):
    page = open_page(browser, f"{address}/{PAGES[name]}?model={MODEL[name]}", "dark")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(IS_SCHEME, arg=scheme)

        def check(scheme: str = scheme) -> None:
            assert pale_texts_of(page) == [], scheme

        eventually(page, check)  # not all of the page changes its colours at once
    page.close()


def test_the_check_finds_what_it_looks_for(page):
    page.set_viewport_size({"width": 400, "height": 600})
    page.set_content(
        """<main data-testid="stMain" style="font: 16px sans-serif">
        <div style="width: 60px; overflow: hidden; white-space: nowrap">cut at its side</div>
        <button style="width: 60px">two lines here</button>
        <div style="position: absolute; top: 200px">one text</div>
        <div style="position: absolute; top: 205px">another text</div>
        <div style="width: 900px">wide</div></main>"""
    )
    found = " ".join(faults_of(page))
    for words in ("cut off: “cut at its side”", "wrapped in its button: “two lines here”", "overlap: “one text”"):
        assert words in found
    assert "scrolls sideways" in found
    page.set_content(
        "<p style='color: #777; background: #fff'>pale</p><p style='color: #767676; background: #fff'>dark</p>"
    )
    assert [text.partition(": ")[2] for text in pale_texts_of(page)] == ["“pale”"]
