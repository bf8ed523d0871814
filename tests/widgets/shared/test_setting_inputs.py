"""Inputs made from settings of every type: what a page gives has the type of the field."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest


def page() -> None:
    from dataclasses import dataclass
    from typing import Literal

    import streamlit as st

    from core.attribution.settings import setting, settings_of
    from widgets.shared.setting_inputs import setting_inputs
    from widgets.shared.user_errors import show_user_errors

    @dataclass(frozen=True)
    class Every:
        is_on: bool = False
        maybe: bool | None = None
        mode: Literal["soft", "very_hard"] = "soft"
        power: Literal[1, 2, 4] = 2
        way: Literal["up", "down"] | None = None
        count: int = setting(3, choices={3: "Three", 5: "Five"})
        rounds: int | None = setting(None, low=1, high=9)
        bounded: int | None = setting(None, low=1, at_most="rounds")
        share: float | None = None
        pair: tuple[int, int] = (2, 8)
        window: int | tuple[int, int] = (3, 4)
        n_steps: int | Literal["auto"] = "auto"
        word: str = "a"
        note: str | None = None

    with show_user_errors():
        st.session_state["found"] = setting_inputs(settings_of(Every), {}, st.columns(2))


DEFAULTS: dict[str, Any] = {
    "is_on": False, "maybe": None, "mode": "soft", "power": 2, "way": None, "count": 3, "rounds": None, "bounded": None,
    "share": None, "pair": (2, 8), "window": (3, 4), "n_steps": "auto", "word": "a", "note": None,
}  # fmt: skip


def found_on(app: AppTest) -> dict[str, Any]:
    assert not app.exception
    assert not app.error
    return app.session_state["found"]


@pytest.fixture
def app():
    return AppTest.from_function(page)


def test_defaults_come_back_with_their_types(app):
    found = found_on(app.run())
    assert found == DEFAULTS
    assert {name: type(value) for name, value in found.items()} == {n: type(value) for n, value in DEFAULTS.items()}
    assert app.selectbox(key="mode").options == ["Soft", "Very hard"]
    assert app.selectbox(key="count").options == ["Three", "Five"]


@pytest.mark.parametrize(
    ("kind", "name", "given", "value"),
    [
        ("toggle", "is_on", True, True), ("selectbox", "maybe", "false", False),
        ("selectbox", "mode", "very_hard", "very_hard"), ("selectbox", "power", "4", 4),
        ("selectbox", "way", "down", "down"), ("selectbox", "count", "5", 5), ("number_input", "rounds", 4, 4),
        ("number_input", "bounded", 6, 6), ("number_input", "share", 0.5, 0.5),
        ("text_input", "pair", "1,2", (1, 2)), ("text_input", "window", "5", 5), ("text_input", "n_steps", "20", 20),
        ("text_input", "word", "b", "b"), ("text_input", "note", "n", "n"),
    ],
)  # fmt: skip
def test_what_is_chosen_has_the_type_of_the_field(app, kind, name, given, value):
    app.run()
    getattr(app, kind)(key=name).set_value(given).run()
    found = found_on(app)
    assert found == DEFAULTS | {name: value}
    assert type(found[name]) is type(value)


def test_values_from_the_url(app):
    for name, value in {"is_on": "true", "mode": "Very hard", "rounds": "7", "power": "4", "note": "n"}.items():
        app.query_params[name] = value
    given = {"is_on": True, "mode": "very_hard", "rounds": 7, "power": 4, "note": "n"}
    assert found_on(app.run()) == DEFAULTS | given


def test_an_optional_bound_bounds_once_it_is_given(app):
    app.run()
    app.number_input(key="bounded").set_value(6)
    app.number_input(key="rounds").set_value(4).run()
    assert found_on(app) == DEFAULTS | {"rounds": 4, "bounded": 4}


def test_a_text_that_is_no_value_is_refused(app):
    app.run()
    app.text_input(key="pair").set_value("much").run()
    assert "two whole numbers with a comma between them" in app.error[0].value
