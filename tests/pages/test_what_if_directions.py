"""The sub-view Directions without a browser: what it shows is what the library says."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label
from streamlit.testing.v1 import AppTest

from core import UserError, load_segmenter, read_image
from core.attribution import gradient
from core.counterfactual import leading_directions
from core.target import PREDICTED, Target
from tests.pages.viewer_data import value_of, viewers
from widgets.what_if import directions

ROOT = Path(__file__).resolve().parents[2]


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "main.py"), default_timeout=120)
    page.switch_page("pages/what_if.py")
    given = {"what_if": "Directions", "model": "scenes", "image": "scenes/scene_00", "class": "car"}
    for name, value in (given | query).items():
        page.query_params[name] = value
    return page.run()


def texts(page: AppTest) -> str:
    assert not page.exception
    assert not page.error
    return " ".join(element.value for element in (*page.markdown, *page.caption))


@pytest.fixture(scope="module")
def given():
    segmenter = load_segmenter("scenes", "cpu")
    return segmenter, read_image(ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png")


def test_one_pixel_has_its_gradient_as_direction(given):
    page = open_page(pixel_set="One pixel", row="60", column="30")
    page = page.button(key="run-directions").click().run()
    assert "the **car** logit at row **60**, column **30**" in texts(page)
    expected = gradient(*given, Target.pixel(60, 30, 5, "logit")).values
    (table,) = page.table
    assert value_of(table.value.iloc[0, 1]) == pytest.approx(np.linalg.norm(expected), rel=1e-3)
    assert "1 direction instead of 4" in texts(page)
    _, vectors = viewers(page)
    assert [panel["title"] for panel in vectors["panels"]] == ["Direction 1", "Scores, direction 1"]


def test_a_region_its_directions_and_the_labels_after_a_step(given):
    segmenter, image = given
    page = open_page(pixel_set="The connected part at a pixel", row="60", column="105", what_if_count="2")
    page = page.button(key="run-directions").click().run()
    labels = segmenter.predict(image).labels
    parts, _ = label(labels == labels[60, 105], np.ones((3, 3)))
    found = leading_directions(segmenter, image, parts == parts[60, 105], 5, count=2)
    assert found.verdict in texts(page)
    (table,) = page.table
    assert [value_of(value) for value in table.value.iloc[:, 1]] == pytest.approx(found.values.tolist(), rel=1e-3)
    large, vectors = viewers(page)
    assert [panel["title"] for panel in large["panels"]] == ["Image", "After the step"]
    assert len(vectors["panels"]) == 4
    ends = {layer["scale"]["high"] for panel in vectors["panels"][:2] for layer in panel["layers"]}
    assert len(ends) == 1  # one scale
    for step, direction in ((16, 1), (-64, 2)):
        page.segmented_control(key="what_if_direction_2").set_value(direction)
        page.select_slider(key="what_if_step").set_value(step).run()
        after = segmenter.predict(found.stepped(image, direction - 1, step)).labels
        changed = int((after != labels).sum())
        assert changed > 0
        assert viewers(page)[0]["panels"][1]["note"] == f"{changed:,} label{'s' * (changed != 1)} changed"
    page.select_slider(key="what_if_step").set_value(0).run()
    assert viewers(page)[0]["panels"][1]["note"] == "0 labels changed"
    # Another number of directions is asked for first.
    page.number_input(key="what_if_count").set_value(3).run()
    assert any(button.key == "run-directions" for button in page.button)


def test_no_pixels_yet_is_an_invitation():
    page = open_page(pixel_set="A lasso")
    assert "No lasso yet" in texts(page)
    assert not any(button.key == "run-directions" for button in page.button)


def test_the_class_predicted_at_each_pixel(given):
    segmenter, image = given
    page = open_page(
        **{
            "class": "As predicted at the pixel",
            "pixel_set": "A box",
            "box": "60.5,20.5,64.5,23.5",
            "what_if_count": "1",
        }
    )
    page = page.button(key="run-directions").click().run()
    mask = np.zeros(image.shape[1:], bool)
    mask[61:65, 21:24] = True
    assert "**12 pixels**" in texts(page)
    assert leading_directions(segmenter, image, mask, PREDICTED, count=1).verdict in texts(page)


def test_what_cannot_be_answered_leaves_the_viewer_to_choose_other_pixels(monkeypatch):
    def refuse(*_arguments, **_named):
        raise UserError("No pixel of the image moves the scores of this region.")

    monkeypatch.setattr(directions, "leading_directions", refuse)
    page = open_page(pixel_set="One pixel", row="7", column="9", what_if_count="3")
    page = page.button(key="run-directions").click().run()
    assert [error.value for error in page.error] == ["No pixel of the image moves the scores of this region."]
    assert [panel["title"] for panel in viewers(page)[0]["panels"]] == ["Image"]
