"""Which score the pages explain when nobody has chosen one, and rather than which other class."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import Target, load_segmenter, read_image
from core.attribution import gradient, integrated_gradients
from core.display.words import number
from tests.pages.viewer_data import viewers

ROOT = Path(__file__).resolve().parents[2]
SCENE = {"model": "scenes", "image": "scenes/scene_00"}
PAGES = ("pixel_explorer", "jacobian", "integrated_gradients", "cams", "trust")


def open_page(name: str, **query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=180)
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    assert not page.error, page.error[0].value
    return page


def label_at(page: AppTest, label: str) -> str:
    """The choice in a picker with this label."""
    (box,) = [box for box in page.selectbox if box.label == label]
    return box.value


def texts(page: AppTest) -> str:
    words = [element.value for element in (*page.markdown, *page.caption)]
    return " ".join(words + [shown["words"]["sentence"] for shown in viewers(page)])


def test_only_a_pixel_that_was_chosen_goes_along():
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=180)
    for key, value in SCENE.items():
        page.query_params[key] = value
    page.run()
    opening = page.session_state["row"], page.session_state["column"]
    page.switch_page("pages/cams.py").run()
    assert page.selectbox(key="pixel_set").value == "class", "as by the page's own address"
    page.switch_page("pages/pixel_explorer.py").run()
    assert (page.session_state["row"], page.session_state["column"]) == opening
    page.session_state["row"] = 3
    page.run()
    page.switch_page("pages/cams.py").run()
    assert page.selectbox(key="pixel_set").value == "point"


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("scenes", "cpu")


@pytest.fixture(scope="module")
def image():
    return read_image(ROOT / "sample_data/scenes/test/images/scene_00.png")


@pytest.fixture(scope="module")
def labels(segmenter, image):
    return segmenter.predict(image).labels


@pytest.fixture(scope="module")
def car(segmenter, labels):
    row, column = np.argwhere(labels == segmenter.class_names.index("car"))[20]
    return int(row), int(column)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_begins_with_the_logit_of_what_is_predicted(name):
    many = open_page(name, **SCENE, steps_are="Fixed", steps="2")
    assert label_at(many, "Score") == "logit"
    if name == "integrated_gradients":  # the whole prediction has no class to choose
        assert not [box for box in many.selectbox if box.label == "Class"]
        assert "predicted class logit" in texts(many)
    else:
        assert label_at(many, "Class") == "As predicted at the pixel"
    assert label_at(many, "Rather than …") == "nothing"


def test_of_two_classes_it_begins_with_the_foreground():
    page = open_page("pixel_explorer")
    assert (label_at(page, "Class"), label_at(page, "Score")) == ("vessel", "logit")
    assert "Rather than …" not in [box.label for box in page.selectbox]


def test_the_explorer_explains_the_label_of_the_pixel_and_what_tells_it_from_another(segmenter, image, labels, car):
    place = {"row": str(car[0]), "column": str(car[1])}
    names = segmenter.class_names
    label, road = names.index("car"), names.index("road")

    def largest(**query: str) -> str:
        (shown,) = viewers(open_page("pixel_explorer", **SCENE, **place, **query))
        return {name: value for name, value, _ in shown["words"]["numbers"]}["Maximum norm"]

    def expected(target: Target) -> float:
        return float(gradient(segmenter, image, target).magnitude().max())

    assert float(largest()) == pytest.approx(expected(Target.pixel(*car, label, "logit")), rel=1e-3)
    contrast = Target.pixel(*car, label, "logit", road)
    assert float(largest(against="road")) == pytest.approx(expected(contrast), rel=1e-3)
    # An old link still means its own class and score.
    assert float(largest(**{"class": "road", "space": "Log-odds"})) == pytest.approx(
        expected(Target.pixel(*car, road, "log_odds")), rel=1e-3
    )
    # Against the very class that is predicted there is no contrast: its own score, and a sentence.
    page = open_page("pixel_explorer", **SCENE, **place, against="car")
    assert "car itself is predicted here" in texts(page)
    (shown,) = viewers(page)
    maximum = {name: value for name, value, _ in shown["words"]["numbers"]}["Maximum norm"]
    assert float(maximum) == pytest.approx(expected(Target.pixel(*car, label, "logit")), rel=1e-3)
    (unit,) = {layer["unit"] for layer in shown["panels"][1]["layers"] if layer["kind"] == "map"}
    assert unit == shown["words"]["unit"] == "logit per unit intensity"
    assert "cannot be held against itself" in texts(
        open_page("pixel_explorer", **SCENE, against="car", **{"class": "car"})
    )


def test_class_activation_maps_take_the_class_at_the_pixel(labels, car):
    page = open_page("cams", **SCENE, row=str(car[0]), column=str(car[1]), against="road")
    count = int((labels == labels[car]).sum())
    assert f"**car** minus **road** logit over **{count:,} pixels**" in texts(page)
    assert viewers(page)[0]["pixel"] == list(car)
    assert viewers(page)[0]["position"] == "class", "the pixel names the class and is not what is explained"
    page.selectbox(key="pixel_set").set_value("point").run()
    assert viewers(page)[0]["position"] is True


def test_integrated_gradients_speak_of_the_mean_and_hide_a_class_that_does_nothing(segmenter, image, labels, car):
    fast = {"steps_are": "Fixed", "steps": "2", "space": "Probability"}
    page = open_page("integrated_gradients", **SCENE, **fast)
    target = Target.prediction(labels, "probability", "mean")
    found = integrated_gradients(segmenter, image, target, n_steps=2)
    assert 0 < found.measured["score"] <= 1
    sentence = texts(page)
    assert f"to {number(found.measured['score'])} on average over {labels.size:,} pixels" in sentence
    page.segmented_control(key="explain").set_value("point").run()
    assert label_at(page, "Class") == "As predicted at the pixel"
    linked = open_page("integrated_gradients", **SCENE, **fast, explain="Class", **{"class": "car"}, against="road")
    assert label_at(linked, "Class") == "car"
    count = int((labels == segmenter.class_names.index("car")).sum())
    assert "car minus road probability" in texts(linked)
    assert f"on average over {count:,} pixels" in texts(linked)


def test_pixels_of_the_class_that_is_subtracted_are_told(labels, segmenter):
    page = open_page("cams", **SCENE, pixel_set="The whole image", against="road")
    count = int((labels == segmenter.class_names.index("road")).sum())
    assert f"road itself is predicted at {count:,} of these pixels" in texts(page)
