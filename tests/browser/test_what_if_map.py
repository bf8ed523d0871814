"""The sub-views Test a map and Directions in a real Chromium: what was removed, what was found, the downloads."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core import load_segmenter, read_image
from core.attribution.registry import explain, importance
from core.counterfactual import leading_directions, map_test
from core.pixel_sets import PixelSet
from tests.browser.app import ROOT, eventually, wait_for_rest
from tests.browser.viewer import Viewer

pytestmark = pytest.mark.browser

SCENE = ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"
QUERY = "model=scenes&image=scenes/scene_00&class=car"
CAR = 5


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(SCENE)


def manifest_of(page: Page, label: str) -> tuple[dict, zipfile.ZipFile]:
    with page.expect_download() as download:
        page.get_by_role("button", name=label).click()
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    return json.loads(archive.read("manifest.json")), archive


def test_a_map_is_tested_and_downloaded(page, address, segmenter, image):
    target = PixelSet("class").target(segmenter.predict(image), CAR, "logit", "mean")
    attribution = explain(segmenter, image, target, "gradient")
    page.goto(f"{address}/what_if?what_if=Test+a+map&{QUERY}&pixel_set=The+class,+as+predicted")
    Viewer(page).wait(live=False)
    page.get_by_role("button", name="Test this map").click()
    expected = map_test(segmenter, image, target, attribution)
    expect(page.get_by_text(expected.sentence)).to_be_visible()
    map_viewer = Viewer(page, "Gradient").wait(live=False)

    def check_map() -> None:
        shown = map_viewer.values("importance", image.shape[1:])
        np.testing.assert_allclose(shown, importance(attribution), atol=1e-6)

    eventually(page, check_map)
    removed = Viewer(page, "Without the map's top")
    row, column = np.argwhere(expected.areas["map"])[100]

    def colour_of(panel: str) -> tuple[int, ...]:
        return removed.colour(panel, int(row), int(column))

    # Without the outlines, a pixel of the map's area shows what it became.
    page.get_by_text("Outline what was removed").click()

    def check_removed() -> None:
        became = np.round(255 * expected.images["map"][:, row, column])
        np.testing.assert_allclose(colour_of("Without the map's top"), became, atol=2)

    eventually(page, check_removed)
    # The slider is moved: the test follows without the button, and the address says so.
    wait_for_rest(page)
    page.get_by_role("slider", name="Removed").press("ArrowRight")
    more = map_test(segmenter, image, target, attribution, 0.1)
    expect(page.get_by_text(more.sentence)).to_be_visible()
    expect(page).to_have_url(re.compile("what_if_share=10"))
    wait_for_rest(page)
    manifest, archive = manifest_of(page, "Areas, images and manifest")
    assert manifest["pixels"] == more.pixels
    assert manifest["fall"]["random"] == pytest.approx(more.random_falls.tolist(), rel=1e-4)
    area = np.load(io.BytesIO(archive.read("map_area.npy")))
    assert (area == more.areas["map"]).mean() > 0.999  # rounding may exchange pixels of nearly the same importance


def test_the_directions_of_a_box(page, address, segmenter, image):
    page.goto(f"{address}/what_if?what_if=Directions&{QUERY}&pixel_set=A+box&what_if_count=2")
    viewer = Viewer(page).wait(live=False)
    expect(page.get_by_text("No box yet")).to_be_visible()
    viewer.drag((60, 20), (63, 24))
    page.get_by_role("button", name="Find the directions").click()
    expect(page.get_by_text("The first direction makes up")).to_be_visible()
    vectors = Viewer(page, "Direction 1").wait(live=False)
    manifest, archive = manifest_of(page, "Vectors and manifest")
    mask = np.load(io.BytesIO(archive.read("mask.npy")))
    assert mask[61:63, 21:24].all()  # the box drawn, whose corners fall on either side of a pixel's centre
    assert not mask.sum() - mask[60:64, 20:25].sum()
    found = leading_directions(segmenter, image, mask, CAR, count=2)
    assert manifest["singular_values"] == pytest.approx(found.values.tolist(), rel=1e-4)

    def check_vectors() -> None:
        for index in range(2):
            shown = vectors.values(f"right {index}", image.shape[1:])
            np.testing.assert_allclose(shown, found.right[index].sum(axis=0), atol=1e-3)

    eventually(page, check_vectors)
