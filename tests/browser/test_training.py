"""Training in a real browser: a run is started, seen to learn, found again after a reload, and explained."""

import re

import pytest
from playwright.sync_api import expect

from core.training.runs import LIVE, runs
from tests.browser.app import running_app, wait_for_rest
from tests.browser.viewer import Viewer


@pytest.fixture
def folder(tmp_path):
    """Of the runs, none of which goes on after the test."""
    yield tmp_path
    for run in runs(tmp_path / "training"):
        if run.status.state in LIVE:
            run.stop(patience=0)


def test_a_run_is_started_watched_found_again_and_its_network_explained(page, folder):
    with running_app(WHYPIXEL_RUNS=str(folder), OMP_NUM_THREADS="1") as address:
        page.goto(f"{address}/training")
        page.get_by_text(re.compile("^16 images")).wait_for()
        for name, value in (("Epochs", "2"), ("Width", "4")):
            field = page.get_by_role("spinbutton", name=name)
            field.fill(value)
            field.press("Enter")
            wait_for_rest(page)
        page.get_by_role("textbox", name="Name").fill("small")
        page.get_by_role("textbox", name="Name").press("Enter")
        wait_for_rest(page)
        page.get_by_role("button", name="Start training").click()
        page.get_by_role("button", name="Stop").wait_for()

        page.reload()
        curve = page.locator(".st-key-train_curves .scatterlayer .trace")
        expect(curve).to_have_count(4)  # two losses, two scores
        pictures = page.get_by_test_id("stImage")
        expect(pictures).to_have_count(4)  # two images: predicted, and the truth
        link = page.get_by_role("link", name="Explain its pixels")
        link.wait_for()
        (run,) = runs(folder / "training")
        assert (run.status.state, run.status.epoch, run.name) == ("finished", 2, "small")
        expect(pictures).to_have_count(4)

        link.click()
        viewer = Viewer(page).wait()
        expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value(re.compile("^small "))
        assert viewer.hover(100, 120) == (100, 120)
