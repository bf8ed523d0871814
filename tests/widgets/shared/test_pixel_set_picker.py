"""Pixel sets chosen in a viewer: the question they make, the tools that choose them, the layers that show them."""

import numpy as np
import pytest
from skimage.draw import polygon2mask
from streamlit.testing.v1 import AppTest

from core.display.colours import CLASS_COLOURS
from widgets.shared.pixel_set_picker import Question, pixel_set_layers

SHAPE = (24, 32)
LASSO = "2,3 2,25 20.5,12"


def explain(name: str) -> None:
    """A page of its own: it explains a pixel set of a network whose class 1 is what is brighter than a half."""
    from dataclasses import dataclass

    import numpy as np
    import streamlit as st

    from core.segmenter import Prediction
    from widgets.shared.pixel_set_picker import in_viewer, question_of
    from widgets.shared.sidebar import Selection
    from widgets.shared.sources import PickedImage

    @dataclass
    class Network:
        class_names: tuple = ("background", "vessel")
        weights_hash: str = "w"
        device: str = "cpu"

    values = np.zeros((1, 24, 32), np.float32)
    values[0, 5:9, 6:20] = 0.9
    labels = (values[0] > 0.5).astype(np.int64)
    prediction = Prediction(np.stack((1 - values[0], values[0])), labels)
    truth = np.zeros_like(labels)
    truth[5:9, 10:24] = 1
    selection = Selection(Network(), PickedImage(values, truth, "bar", (), "h"))
    st.session_state["question"] = question_of(name, selection, prediction, "mean")
    st.session_state["in_viewer"] = in_viewer(name, selection, prediction)


def asked(name: str, **state: str | int) -> tuple[Question | None, dict, AppTest]:
    page = AppTest.from_function(explain, args=(name,))
    for key, value in {"_image_of_pixel": ("bar", SHAPE), "row": 7, "column": 12}.items():
        page.session_state[key] = value
    for key, value in state.items():
        page.session_state[key] = value
    page.run()
    assert not page.exception
    return page.session_state["question"], page.session_state["in_viewer"], page


def bar() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[5:9, 6:20] = True
    return mask


def test_the_predicted_class_needs_no_tool():
    question, tools, _ = asked("class")
    np.testing.assert_array_equal(question.mask, bar())
    assert question.target.describe()["reduction"] == "mean"
    assert tools == {"tools": (), "pixel": None, "parts": (), "has_position": False, "names_class": False}


@pytest.mark.parametrize(("name", "count"), [("point", 1), ("component", 4 * 14)])
def test_a_pixel_is_clicked_or_typed(name, count):
    question, tools, _ = asked(name)
    assert question.mask[7, 12]
    assert question.mask.sum() == count
    assert tools == {"tools": ("point",), "pixel": (7, 12), "parts": (), "has_position": True, "names_class": False}


@pytest.mark.parametrize(("name", "other"), [("lasso", "box"), ("box", "lasso")])
def test_a_region_begins_with_its_own_tool_and_may_take_the_other(name, other):
    question, tools, _ = asked(name, **{name: f"{LASSO};!4,8,6,10"})
    expected = polygon2mask(SHAPE, np.array([[2, 3], [2, 25], [20.5, 12]]))
    expected[4:7, 8:11] = False
    np.testing.assert_array_equal(question.mask, expected)
    assert tools["tools"] == (name, other)
    assert [(part.kind, part.takes_away) for part in tools["parts"]] == [("lasso", False), ("box", True)]
    assert question.pixel_set.describe()["parts"][1]["op"] == "subtract"


@pytest.mark.parametrize("name", ["box", "lasso"])
def test_nothing_drawn_yet_is_an_invitation(name):
    question, tools, page = asked(name)
    assert question is None
    assert not page.error
    assert f"No {name} yet" in page.markdown[0].value
    assert tools["tools"][0] == name


@pytest.mark.parametrize("text", ["somewhere", "1.1,1.1,1.9,1.9", "900,1,950,9"])
def test_a_region_that_cannot_be_had_is_one_sentence_and_can_be_drawn_anew(text):
    question, tools, page = asked("box", box=text)
    assert question is None
    assert len(page.error) == 1
    assert tools["tools"] == ("box", "lasso")


def test_false_positives_come_from_the_truth():
    question, _, _ = asked("false_positives")
    expected = bar()
    expected[:, 10:] = False
    np.testing.assert_array_equal(question.mask, expected)


def test_only_some_of_the_pixels_are_shown_as_a_layer():
    assert pixel_set_layers(None) == []
    for name in ("point", "image", "zero"):
        assert pixel_set_layers(asked(name)[0]) == []
    (layer,) = pixel_set_layers(asked("border")[0])
    assert layer.mask.sum() == 2 * 14 + 2 * 2
    assert layer.colour not in CLASS_COLOURS
