"""The sub-view Test a map without a browser: what it shows is what the library says."""

import json
import threading
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import load_segmenter, read_image
from core.attribution.registry import METHODS, explain, importance
from core.counterfactual import map_test
from core.display.words import number
from core.pixel_sets import PixelSet
from tests.pages.viewer_data import viewers
from widgets.shared import slow_work
from widgets.what_if import map_test as panel

ROOT = Path(__file__).resolve().parents[2]
CAR = 5


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120)
    page.switch_page("pages/what_if.py")
    given = {"what_if": "Test a map", "model": "scenes", "image": "scenes/scene_00", "class": "car"}
    for name, value in (given | {"pixel_set": "The class, as predicted"} | query).items():
        page.query_params[name] = value
    return page.run()


def texts(page: AppTest) -> str:
    assert not page.exception
    assert not page.error
    return " ".join(element.value for element in (*page.markdown, *page.caption))


def run_test(page: AppTest) -> AppTest:
    return page.button(key="run-map-test").click().run()


@pytest.fixture(scope="module")
def given():
    segmenter = load_segmenter("scenes", "cpu")
    image = read_image(ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png")
    return segmenter, image, PixelSet("class").target(segmenter.predict(image), CAR, "logit", "mean")


def test_the_three_falls_are_those_of_the_library(given):
    page = open_page()
    assert [panel["title"] for panel in viewers(page)[0]["panels"]] == ["Image"]
    page = run_test(page)
    attribution = explain(*given, "gradient")
    expected = map_test(*given, attribution)
    assert expected.sentence in texts(page)
    assert "mean of the **car** logit over **1,620 pixels**" in texts(page)
    map_viewer, removed = viewers(page)
    assert [panel["title"] for panel in map_viewer["panels"]] == ["Image", "Gradient"]
    assert [panel["note"] for panel in removed["panels"]] == [
        f"logit {number(-fall, 3)}" for fall in (expected.map_fall, expected.random_falls[0], expected.nearest_fall)
    ]
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    shown = [trace["x"] for trace in figure["data"]]
    falls = [expected.map_fall, expected.random_fall.mean, expected.nearest_fall]
    assert [one[0] for one in shown[:3]] == pytest.approx(falls, rel=1e-4)
    assert shown[3] == pytest.approx(expected.random_falls.tolist(), rel=1e-4)
    # Other ways of removing follow at once, without the button.
    page.selectbox(key="what_if_fill").set_value("zero")
    page.selectbox(key="what_if_shape").set_value("moved")
    page.select_slider(key="what_if_share").set_value(0.1).run()
    assert map_test(*given, attribution, 0.1, "zero", shape="moved").sentence in texts(page)
    # Another map is asked for first.
    page.selectbox(key="what_if_method").set_value("layer_cam").run()
    assert any(button.key == "run-map-test" for button in page.button)
    assert len(viewers(page)) == 1
    page.selectbox(key="layer").set_value("decoder.1").run()
    page = run_test(page)
    found = explain(*given, "layer_cam", {"layer": "decoder.1"})
    assert map_test(*given, found, 0.1, "zero", shape="moved").sentence in texts(page)
    assert importance(found).shape == given[1].shape[1:]


def test_every_method_is_offered_with_its_settings():
    page = open_page(what_if_method="Occlusion")
    offered = page.selectbox(key="what_if_method").options
    assert offered == [method.title for method in METHODS.values()]
    own = {f"what_if_{one.key}" for one in METHODS["occlusion"].settings if one.on_page}
    keys = {element.key for kind in ("number_input", "selectbox", "toggle", "text_input") for element in page.get(kind)}
    assert own
    assert own <= keys


def test_a_link_opens_the_same_choice():
    page = open_page(what_if_share="10 %", what_if_fill="Black", what_if_shape="Patches of 8×8 pixels")
    assert page.select_slider(key="what_if_share").value == 0.1
    assert page.selectbox(key="what_if_fill").value == "zero"
    assert page.selectbox(key="what_if_shape").value == "patches"


def test_the_context_only(given):
    page = run_test(open_page(what_if_context="true"))
    assert map_test(*given, explain(*given, "gradient"), context_only=True).sentence in texts(page)
    assert "The pixels explained stay." in texts(page)


def test_no_pixels_yet_is_an_invitation():
    page = open_page(pixel_set="A box")
    assert "No box yet" in texts(page)
    assert not any(button.key == "run-map-test" for button in page.button)


def test_cancelled_work_is_taken_up(monkeypatch, given):
    begun, go_on = threading.Event(), threading.Event()
    computed = panel.map_test

    def slowly(*arguments, **named):
        begun.set()
        assert go_on.wait(60)
        return computed(*arguments, **named)

    monkeypatch.setattr(panel, "map_test", slowly)
    page = open_page(row="3")
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page.select_slider(key="what_if_share").set_value(0.02).run()
    page = run_test(page)
    assert begun.wait(60)
    claim = page.session_state["_claims"]["map test"]
    claim.cancel()
    go_on.set()
    claim.computation.exception(60)
    page.run()
    assert "Cancelled." in texts(page)
    monkeypatch.setattr(slow_work, "PATIENCE", 120)
    page.button(key="again-map test").click().run()
    assert map_test(*given, explain(*given, "gradient"), 0.02).sentence in texts(page)


def test_what_cannot_be_tested_leaves_the_viewer_to_choose_other_pixels():
    page = open_page(pixel_set="The whole image", what_if_context="true").button(key="run-map-test").click().run()
    (error,) = page.error
    assert "no context to take away" in error.value
    assert [panel["title"] for panel in viewers(page)[0]["panels"]] == ["Image"]
