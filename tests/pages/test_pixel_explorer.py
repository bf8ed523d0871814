"""The Pixel Explorer without a browser: what it shows is what the library says."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import Target, load_segmenter, read_image
from core.attribution import Attribution, gradient, influence, smoothgrad
from core.data.images import read_mask
from core.display.footprint import footprint, share_within
from tests.pages.viewer_data import numbers, value_of, viewers
from widgets.shared import slow_work
from widgets.shared.explainer import Explainer

ROOT = Path(__file__).resolve().parents[2]
NOT_SQUARE = ROOT / "sample_data" / "formats" / "images" / "not_square.tiff"


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120)
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def pixel(page: AppTest) -> tuple[int, int]:
    row, column = viewers(page)[0]["pixel"]
    return row, column


def choose(page: AppTest, **settings: object) -> AppTest:
    """Set controls of the viewer, as its component does when the hand is lifted."""
    page.session_state["_viewer_settings"] = page.session_state["_viewer_settings"] | settings
    return page.run()


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(NOT_SQUARE)


def test_first_sight_explains_an_error_and_says_why(segmenter):
    page = open_page(image="vessels/phantom_00")
    found = numbers(page)
    assert int(found["Pixels above"].replace(",", "")) > 0
    at = pixel(page)
    label = segmenter.predict(read_image(ROOT / "sample_data" / "vessels" / "images" / "phantom_00.tiff")).labels[at]
    true = int(read_mask(ROOT / "sample_data" / "vessels" / "labels" / "phantom_00.png")[at])
    names = segmenter.class_names
    assert true != label
    words = viewers(page)[0]["words"]
    assert words["chips"][0][0] == names[label]
    assert words["chips"][-1] == [f"wrong: the truth says {names[true]}", "bad"]
    assert re.search(
        rf"Opened here: false \w+, [\d,]+ px of {names[true]} labelled {names[label]}\.$", words["sentence"]
    )


def test_the_pixel_that_was_looked_at_goes_along_as_a_pixel_set():
    page = open_page(image="formats/not_square", row="61", column="99")
    assert "Opened here" not in viewers(page)[0]["words"]["sentence"]
    assert page.session_state["pixel_set"] == page.session_state["explain"] == "point"


def test_numbers_are_the_librarys(segmenter, image):
    page = open_page(image="formats/not_square", row="61", column="99")
    found = numbers(page)
    attribution = gradient(segmenter, image, Target.pixel(61, 99, space="logit"))
    remaining = footprint(attribution.magnitude(), 0.01)
    assert value_of(found["Maximum"]) == pytest.approx(attribution.magnitude().max(), rel=1e-3)
    assert found["Pixels above"] == f"{remaining.count:,}"
    assert found["Box area"] == f"{remaining.box.area:,} px"
    assert found["Box filled"] == f"{100 * remaining.fulfilment:.1f} %"
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
    assert value_of(numbers(page)["Maximum"]) == pytest.approx(magnitude.max(), rel=1e-3)
    assert "the threshold (1\N{NO-BREAK SPACE}% of this map's maximum)" in viewers(page)[0]["words"]["sentence"]
    choose(page, threshold_of="absolute")
    assert "maximum" not in viewers(page)[0]["words"]["sentence"]
    assert numbers(page)["Threshold"] == "0.001"
    assert numbers(page)["Pixels above"] == f"{footprint(magnitude, threshold=0.001).count:,}"


def test_the_pixel_stays_when_only_the_scaling_changes():
    page = open_page(image="formats/not_square", row="61", column="99")
    page.segmented_control(key="scaling").set_value("percentile").run()
    numbers(page)
    assert pixel(page) == (61, 99)


@pytest.mark.parametrize("query", [{"row": "9999", "column": "-4"}, {"row": "x", "column": "1"}, {"threshold": "7"}])
def test_a_wrong_address_still_shows_a_pixel_of_the_image(query):
    assert "Pixels above" in numbers(open_page(image="formats/not_square", **query))


def test_another_image_gets_a_pixel_of_its_own():
    page = open_page(image="vessels/phantom_00", row="250", column="250")
    page.session_state["image"] = "formats/not_square"
    page.run()
    numbers(page)
    labels = load_segmenter("vessmap", "cpu").predict(read_image(NOT_SQUARE)).labels
    assert labels[pixel(page)] == 1


def test_a_truth_that_comes_later_takes_back_why_the_page_opened_on_a_pixel():
    folder = ROOT / "sample_data" / "vessels"
    page = open_page()

    def upload(label: str, file: Path) -> None:
        uploader = next(found for found in page.file_uploader if found.label == label)
        uploader.set_value((file.name, file.read_bytes(), "image/png")).run()

    upload("Image file", folder / "images" / "phantom_01.tiff")
    opening, sentence = pixel(page), viewers(page)[0]["words"]["sentence"]
    assert re.search(r"Opened here: a (confident|likely) vessel pixel", sentence)
    upload("Ground truth (optional)", folder / "labels" / "phantom_01.png")
    assert pixel(page) == opening
    assert "Opened here" not in viewers(page)[0]["words"]["sentence"]


def test_back_to_an_image_that_was_removed_does_not_take_its_pixel_for_another_image():
    page = open_page(image="vessels/phantom_00")
    opening = pixel(page)
    name = page.session_state["image"]
    page.session_state["image"], page.session_state["row"], page.session_state["column"] = (
        "own.png",
        3,
        5,
    )  # as Back does
    page.run()
    assert page.session_state["image"] == name
    assert pixel(page) == opening


def test_colour_image_for_a_grey_model_is_one_sentence_and_a_way_out():
    page = open_page(image="formats/colour")
    assert not page.exception
    assert "has 3 channels and the model vessmap takes 1" in page.error[0].value
    page.toggle(key="convert").set_value(True).run()
    assert np.isfinite(value_of(numbers(page)["Maximum"]))


def test_everything_at_the_highest_threshold():
    page = open_page(image="formats/not_square")
    choose(page, threshold=1.0)
    found = numbers(page)
    assert found["Pixels above"] == "0"
    assert found["Box filled"] == "none"


def test_pins_come_from_the_address_and_hold_the_librarys_numbers(segmenter, image):
    page = open_page(image="formats/not_square", row="61", column="99", pins="61,99;9999,3;70,80;61,99;x")
    pins = viewers(page)[0]["pins"]
    assert [(pin["row"], pin["column"]) for pin in pins] == [(61, 99), (70, 80)]
    for pin in pins:
        found = {name: value for name, value, _ in pin["numbers"]}
        magnitude = gradient(segmenter, image, Target.pixel(pin["row"], pin["column"], space="logit")).magnitude()
        assert value_of(found["Maximum"]) == pytest.approx(magnitude.max(), rel=1e-3)
        assert found["Pixels above"] == f"{footprint(magnitude, 0.01).count:,}"


def test_at_most_eight_pins_are_kept_and_none_on_another_image():
    pins = ";".join(f"{row},{row}" for row in range(20, 32))
    page = open_page(image="formats/not_square", pins=pins)
    assert [pin["row"] for pin in viewers(page)[0]["pins"]] == list(range(24, 32))
    page.session_state["image"] = "vessels/phantom_00"
    page.run()
    assert viewers(page)[0]["pins"] == []


def test_while_a_map_is_computed_the_last_one_stays_dimmed(monkeypatch):
    page = open_page(image="formats/not_square", row="61", column="99")
    before, go_on, explain = viewers(page)[0]["panels"][1], threading.Event(), Explainer._explain
    assert before["note"] == "red raises, blue lowers"

    def slowly(self: Explainer, pixel: tuple[int, int]) -> Attribution:
        assert go_on.wait(60)
        return explain(self, pixel)

    monkeypatch.setattr(Explainer, "_explain", slowly)
    monkeypatch.setattr(slow_work, "PATIENCE", 0)
    page.session_state["row"] = 64
    page.run()
    assert not page.exception
    panel = viewers(page)[0]["panels"][1]
    assert panel["note"] == "of the settings before"
    assert panel["layers"][0]["opacity"] < 0.5
    assert panel["layers"][0]["array"] == before["layers"][0]["array"]
    go_on.set()
    page.session_state["_claims"]["maps"].computation.result(60)
    page.run()
    assert viewers(page)[0]["panels"][1]["note"] == "red raises, blue lowers"
