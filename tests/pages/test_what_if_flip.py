"""The views Smallest change and Fragility map without a browser."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.counterfactual import FragilityMap
from tests.pages.viewer_data import viewers
from widgets.shared import store_folder
from widgets.what_if import fragility

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(store_folder, "DEFAULT_FOLDER", tmp_path)
    return tmp_path


def open_page(view: str, **query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "what_if.py"), default_timeout=300)
    chosen = {"image": "vessels/phantom_00", "what_if": view, "pixel_set": "One pixel", "row": "130", "column": "78"}
    for name, value in (chosen | query).items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def run_until(page: AppTest, is_there) -> None:
    """Run the page anew until something is there: AppTest has no timer that would."""
    for _ in range(400):
        if is_there():
            return
        page.run()
        assert not page.exception
    raise AssertionError("it did not come")


def markdown(page: AppTest) -> str:
    return " ".join(element.value for element in page.markdown)


def test_the_smallest_change_is_found_and_shown_beside_the_image():
    page = open_page("Smallest change")
    assert [panel["name"] for panel in viewers(page)[0]["panels"]] == ["Image"]
    page.button(key="run-smallest-change").click().run()
    run_until(page, lambda: "This change turns the pixel from vessel to background" in markdown(page))
    assert [panel["name"] for panel in viewers(page)[0]["panels"]] == ["Image", "Changed image", "The change"]
    assert "not why it was given" in markdown(page)


def test_a_radius_that_leaves_nothing_is_told_and_the_image_stays():
    page = open_page("Smallest change", what_if_where="Context only", what_if_radius="4000")
    assert "leaves no pixel of the image to change" in page.error[0].value
    assert viewers(page)


def test_inside_a_lasso_waits_for_one():
    page = open_page("Smallest change", what_if_where="Inside a lasso")
    assert "Draw a lasso" in page.error[0].value
    assert "lasso" in viewers(page)[0]["tools"]


def test_the_map_grows_on_disk_and_is_there_without_a_button(monkeypatch):
    def computed(selection, every, measure, folder, report) -> FragilityMap:
        return fragility.fragility_map(selection.segmenter, selection.image.values, every, measure, steps=4, out=folder)

    monkeypatch.setattr(fragility, "_compute", computed)
    page = open_page("Fragility map", what_if_every="128")
    page.button(key="run-fragility").click().run()
    run_until(page, lambda: "Half of the labels flip" in markdown(page))
    again = open_page("Fragility map", what_if_every="128")
    run_until(again, lambda: "Half of the labels flip" in markdown(again))
    assert "run-fragility" not in [button.key for button in again.button]
    assert [panel["name"] for panel in viewers(again)[0]["panels"]] == ["Image", "Distance to the flip"]
