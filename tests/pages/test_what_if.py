"""The What if page without a browser: what it draws, and that paintings stay with their tab."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from streamlit.testing.v1 import AppTest

from core.counterfactual import Edit, Painting
from core.counterfactual.brush import Brush
from core.segmenter import Segmenter
from core.target import Score
from tests.pages.viewer_data import viewers
from widgets.what_if import paint
from widgets.what_if.hand import Hand

ROOT = Path(__file__).resolve().parents[2]


def open_page(**query: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "what_if.py"), default_timeout=120)
    for name, value in {"image": "vessels/phantom_00", **query}.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def hand_of(page: AppTest) -> Hand:
    return next(reversed(page.session_state["_what_if_hands"].values()))


def draw(hand: Hand, points: list[list[int]]) -> None:
    settings = {"brush": "paint", "intensity": 1.0, "size": 8.0, "softness": 0.0, "sigma": 4.0, "amount": 0.1}
    action = {"do": "stroke", "client": "a", "number": 1, "from": 0, "points": points, "end": True}
    hand.act(action, settings, Score(1))


def test_the_scene_follows_what_was_painted():
    page = open_page()
    before = viewers(page)[0]
    assert before["paint"]["version"] == 0
    draw(hand_of(page), [[100, 100], [110, 140]])
    page.run()
    after = viewers(page)[0]
    assert after["paint"]["version"] == 1
    assert after["paint"]["undo"]
    assert after["paint"]["id"] == before["paint"]["id"]
    names = [number[0] for number in after["words"]["numbers"]]
    assert names[:3] == ["P(vessel) here", "Vessel logit here", "Labels changed"]
    assert json.dumps(after)


def test_another_network_takes_the_edit_along(monkeypatch):
    state: dict[str, object] = {}
    monkeypatch.setattr(paint, "st", SimpleNamespace(session_state=state))
    image = np.random.default_rng(0).random((1, 40, 40), dtype=np.float32)

    def selection(seed: int) -> SimpleNamespace:
        torch.manual_seed(seed)
        segmenter = Segmenter(torch.nn.Conv2d(1, 2, 3, padding=1), in_channels=1)
        return SimpleNamespace(
            segmenter=segmenter, image=SimpleNamespace(values=image), key=(str(seed), "cpu", "image")
        )

    first = paint.hand_of(selection(1))
    draw(first, [[10, 10], [20, 20]])
    second = paint.hand_of(selection(2))
    assert second is not first
    assert np.array_equal(second.edit.painting.image, first.edit.painting.image)
    assert not second.edit.painting.is_original
    assert paint.hand_of(selection(1)) is first
    for seed in (3, 4, 5):
        paint.hand_of(selection(seed))
    assert len(state["_what_if_hands"]) == 3  # bounded


def test_a_loaded_edit_is_a_step():
    page = open_page()
    hand = hand_of(page)
    painting = Painting(hand.edit.painting.original)
    painting.begin(Brush(radius=5))
    painting.draw([(50, 50)])
    painting.finish()
    hand.load(Edit.load(painting.edit().file_bytes()))
    page.run()
    assert viewers(page)[0]["paint"]["undo"]
    assert np.array_equal(hand.edit.painting.image, painting.image)


def test_two_tabs_have_two_paintings():
    first, second = open_page(), open_page()
    draw(hand_of(first), [[100, 100], [110, 140]])
    second.run()
    assert viewers(second)[0]["paint"]["version"] == 0
    assert hand_of(second).edit.painting.is_original
