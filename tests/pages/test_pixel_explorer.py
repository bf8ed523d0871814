"""The Pixel Explorer without a browser: what it shows is what the library says."""

import json
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import Target, load_segmenter, read_image
from core.attribution import gradient, influence, smoothgrad
from core.display.footprint import footprint, share_within

ROOT = Path(__file__).resolve().parents[2]
NOT_SQUARE = ROOT / "sample_data" / "formats" / "images" / "not_square.tiff"


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def numbers(page: AppTest) -> dict[str, str]:
    assert not page.exception
    assert not page.error
    return {metric.label: metric.value for metric in page.metric}


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(NOT_SQUARE)


def test_first_sight_explains_a_foreground_pixel_near_the_middle():
    page = open_page()
    found = numbers(page)
    assert found["Label"] == "vessel"
    assert int(found["Pixels above"].replace(",", "")) > 0
    assert abs(page.number_input(key="row").value - 128) < 64
    assert abs(page.number_input(key="column").value - 128) < 64


def test_numbers_are_the_librarys(segmenter, image):
    page = open_page(image="formats/not_square", row="61", column="99")
    found = numbers(page)
    attribution = gradient(segmenter, image, Target.pixel(61, 99))
    remaining = footprint(attribution.magnitude(), 0.01)
    assert found["Maximum"] == f"{attribution.magnitude().max():.4g}"
    assert found["Pixels above"] == f"{remaining.count:,}"
    assert found["Box area"] == f"{remaining.box.area:,} px"
    assert found["Fulfilment"] == f"{100 * remaining.fulfilment:.1f} %"
    assert found["Within 16 px"] == f"{100 * share_within(attribution.magnitude(), 61, 99, 16):.1f} %"


@pytest.mark.parametrize(
    ("view", "smooth", "expected"),
    [
        ("What this pixel drives", "false", lambda s, i: influence(s, i, 61, 99, 0, "logit")),
        ("What drives this pixel", "true", lambda s, i: smoothgrad(s, i, Target.pixel(61, 99, 0, "logit"))),
    ],
)
def test_every_choice_reaches_the_library(segmenter, image, view, smooth, expected):
    page = open_page(
        image="formats/not_square", row="61", column="99", view=view, smooth=smooth, space="Logit",
        **{"class": "background"},
    )  # fmt: skip
    magnitude = expected(segmenter, image).magnitude()
    assert numbers(page)["Maximum"] == f"{magnitude.max():.4g}"
    page.segmented_control(key="threshold_of").set_value("absolute").run()
    assert numbers(page)["Threshold"] == "0.001"
    assert numbers(page)["Pixels above"] == f"{footprint(magnitude, threshold=0.001).count:,}"


def picker_key(page: AppTest) -> str:
    return next(key for key in page.session_state["_pixel_picker"])


def test_a_click_moves_the_pixel_once():
    page = open_page(image="formats/not_square", row="61", column="99")
    key = picker_key(page)
    click = json.dumps([{"x": 50, "y": 70, "curveNumber": 0}])
    page.session_state[key] = click
    page.run()
    assert (page.number_input(key="row").value, page.number_input(key="column").value) == (70, 50)
    page.number_input(key="row").set_value(10).run()
    page.session_state[key] = click
    page.run()
    assert page.number_input(key="row").value == 10, "an old click coming back must not fire again"
    page.session_state[key] = json.dumps([{"x": 50, "y": 70, "curveNumber": 1}])
    page.run()
    assert page.number_input(key="row").value == 70, "but the same pixel can be clicked again"
    page.number_input(key="row").set_value(11).run()
    page.number_input(key="row").set_value(12).run()
    page.session_state[key] = click
    page.run()
    assert page.number_input(key="row").value == 70, "after any number of other moves"


def test_the_pixel_stays_when_only_the_scaling_changes():
    page = open_page(image="formats/not_square", row="61", column="99")
    page.segmented_control(key="scaling").set_value("percentile").run()
    numbers(page)
    assert (page.number_input(key="row").value, page.number_input(key="column").value) == (61, 99)


@pytest.mark.parametrize("query", [{"row": "9999", "column": "-4"}, {"row": "x", "column": "1"}, {"threshold": "7"}])
def test_a_wrong_address_still_shows_a_pixel_of_the_image(query):
    found = numbers(open_page(image="formats/not_square", **query))
    assert found["Label"] in ("vessel", "background")


def test_another_image_gets_a_pixel_of_its_own():
    page = open_page(image="vessels/phantom_00", row="250", column="250")
    page.selectbox(key="image").set_value("formats/not_square").run()
    numbers(page)
    labels = load_segmenter("vessmap", "cpu").predict(read_image(NOT_SQUARE)).labels
    assert labels[page.number_input(key="row").value, page.number_input(key="column").value] == 1


def test_colour_image_for_a_grey_model_is_one_sentence_and_a_way_out():
    page = open_page(image="formats/colour")
    assert not page.exception
    assert "has 3 channels and the model vessmap takes 1" in page.error[0].value
    page.toggle(key="convert").set_value(True).run()
    assert np.isfinite(float(numbers(page)["Maximum"]))


def test_everything_at_the_highest_threshold():
    page = open_page(image="formats/not_square")
    page.select_slider(key="threshold").set_value(1.0).run()
    found = numbers(page)
    assert found["Pixels above"] == "0"
    assert found["Fulfilment"] == "none"
