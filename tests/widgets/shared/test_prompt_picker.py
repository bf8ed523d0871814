"""The point that a SAM is given, chosen on the image."""

import sys

import pytest
from streamlit.testing.v1 import AppTest

pytest.importorskip("transformers")
from tests.models.adapters import prompted_networks as networks


def _page():
    import streamlit as st

    from widgets.shared.header import page_header
    from widgets.shared.sidebar import pick_selection, side_bar
    from widgets.shared.user_errors import show_user_errors

    page_header("", "")
    with show_user_errors(), side_bar() as files:
        selection = pick_selection(files)
        st.text(f"{selection.segmenter.prompt} {selection.image.name}")
        st.text(selection.key[0])
        st.session_state["truth"] = selection.image.truth


def _opened(**query: str) -> AppTest:
    page = AppTest.from_function(_page, default_timeout=120)
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def _prompt(page: AppTest) -> str:
    assert not page.exception
    assert not page.error
    return page.text[0].value


@pytest.fixture
def sam(tmp_path, monkeypatch):
    networks.lively("sam").save_pretrained(tmp_path / "sam")
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", str(tmp_path / "sam")])


@pytest.mark.usefixtures("sam")
def test_the_point_is_chosen_on_the_image_and_is_in_the_address():
    page = _opened(image="formats/colour")
    assert _prompt(page) == "(128.0, 128.0) colour.png"
    assert "prompt" not in page.query_params
    assert page.session_state["truth"] is None, "that of the sample is of vessels, not of the object"
    at_centre = page.text[1].value
    page.number_input(key="prompt_row").set_value(40).run()
    assert _prompt(page) == "(40.0, 128.0) colour.png"
    assert page.query_params["prompt"] == "40,128"
    assert page.text[1].value != at_centre, "or results of the other point would be shown"
    assert any("given the point at row 40, column 128" in caption.value for caption in page.caption)
    page.session_state["row"], page.session_state["column"] = 7, 9
    page.button(key="prompt_here").click().run()
    assert _prompt(page) == "(7.0, 9.0) colour.png"
    page.selectbox(key="model").set_value("vessmap").run()
    assert _prompt(page).startswith("None ")
    assert not page.number_input
    page.session_state["image"] = "formats/colour"
    page.selectbox(key="model").set_value(page.selectbox(key="model").options[0]).run()
    assert _prompt(page) == "(7.0, 9.0) colour.png"
    page.session_state["image"] = "scenes/scene_00"
    page.run()
    assert _prompt(page) == "(64.0, 128.0) scene_00.png", "at the centre of another image"


@pytest.mark.usefixtures("sam")
@pytest.mark.parametrize(
    ("prompt", "row_and_column"), [("40,17", "(40.0, 17.0)"), ("40,999", "(128.0, 128.0)"), ("x", "(128.0, 128.0)")]
)
def test_a_point_in_a_link_is_taken_where_it_is_inside_the_image(prompt, row_and_column):
    page = _opened(image="formats/colour", prompt=prompt)
    assert _prompt(page) == f"{row_and_column} colour.png"
