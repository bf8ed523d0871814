"""The question that pages ask in a real Chromium: the class predicted at the pixel, or one rather than another."""

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core import Target, load_segmenter, read_image
from core.attribution import gradient
from tests.browser.app import ROOT, eventually, wait_for_rest
from tests.browser.viewer import Viewer

pytestmark = pytest.mark.browser

SCENE = ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"
CAR, ROAD = 5, 0


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()
    wait_for_rest(page)


def test_a_click_on_a_car_explains_the_car_and_what_tells_it_from_the_road(page, address):
    segmenter, image = load_segmenter("scenes", "cpu"), read_image(SCENE)
    assert segmenter.class_names[CAR] == "car"
    labels = segmenter.predict(image).labels
    page.goto(f"{address}/?model=scenes&image=scenes/scene_00")
    viewer = Viewer(page).wait()
    row, column = map(int, np.argwhere(labels == CAR)[len(np.argwhere(labels == CAR)) // 2])
    viewer.click(row, column)

    def shows(target: Target) -> None:
        expected = gradient(segmenter, image, target).values.sum(axis=0)
        np.testing.assert_allclose(viewer.values("map", labels.shape), expected, atol=2e-5 * np.abs(expected).max())

    said = viewer.root.locator(".said")
    expect(said).to_contain_text("car logit")
    expect(viewer.root.locator(".chip").first).to_contain_text("car")
    eventually(page, lambda: shows(Target.pixel(row, column, CAR, "logit")))
    # One maximum on screen, that of the norms: the threshold and the end of the colours are shares of it.
    values = gradient(segmenter, image, Target.pixel(row, column, CAR, "logit")).values.astype(np.float64)
    norms = np.sqrt((values**2).sum(axis=0))
    assert viewer.number("Maximum norm") == pytest.approx(norms.max(), rel=1e-3)
    assert viewer.number("Pixels above") == pytest.approx((norms > 0.01 * norms.max()).sum(), abs=3)
    end = viewer.run("viewer.scaleOf(viewer.named('map'), viewer.mapOf(viewer.named('map'))).high")
    assert end == pytest.approx(0.1 * norms.max(), rel=1e-3)

    choose(page, "Rather than …", segmenter.class_names[ROAD])
    expect(said).to_contain_text(f"car minus {segmenter.class_names[ROAD]}")
    eventually(page, lambda: shows(Target.pixel(row, column, CAR, "logit", ROAD)))
    expect(page).to_have_url(re.compile("against="))
    unit = viewer.root.locator(".colours:visible .unit").filter(has_text="intensity")
    expect(unit).to_contain_text("logit difference per unit intensity")
    viewer.hover(*map(int, np.argwhere(labels == ROAD)[0]))
    expect(unit).to_have_text(re.compile("^logit per unit intensity, sum of channels$"))
    viewer.hover(row, column)
    expect(unit).to_contain_text("logit difference per unit intensity")

    page.goto(f"{address}/integrated_gradients?model=scenes&image=scenes/scene_00&steps_are=Fixed&steps=2")
    viewer = Viewer(page).wait(live=False)
    sentence = viewer.root.locator(".sentence")
    expect(sentence).to_contain_text(f"on average over {labels.size:,} pixels")
    expect(sentence).to_contain_text("predicted class logit")
    expect(page.get_by_role("combobox", name="Class", exact=True)).to_have_count(0)  # it would do nothing here
    assert viewer.run("viewer.settings.map") == "signed"
    assert viewer.run("viewer.scene.panels.map(panel => panel.title)") == ["Image", "Attribution"]
