"""What a hand that paints does: each action once, however often it arrives, and no harm from what makes no sense."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.counterfactual import Edit
from core.counterfactual.live_edit import LiveEdit
from core.errors import UserError
from core.segmenter import Segmenter
from core.target import Score
from widgets.viewer.controls import settings_of
from widgets.what_if.hand import CHANGED, DIFFERENCE, IMAGE, LABELS, Hand
from widgets.what_if.paint import controls_of

SCORE = Score(1, "logit")
SETTINGS = settings_of(controls_of(1, "logit", has_truth=False)) | {"brush": "paint", "intensity": 1.0, "size": 3.0}


def _hand(seed: int = 0) -> Hand:
    torch.manual_seed(seed)
    segmenter = Segmenter(torch.nn.Conv2d(1, 2, 3, padding=1), in_channels=1)
    return Hand(LiveEdit(segmenter, np.random.default_rng(0).random((1, 40, 48), dtype=np.float32)))


def _stroke(number: int, points, start: int = 0, *, end: bool = False, client: str = "a") -> dict:
    return {"do": "stroke", "client": client, "number": number, "from": start, "points": points, "end": end}


def test_a_piece_that_arrives_twice_or_overlaps_is_drawn_once():
    hand, other = _hand(), _hand()
    hand.act(_stroke(1, [[5, 5], [8, 9]]), SETTINGS, SCORE)
    again = hand.act(_stroke(1, [[5, 5], [8, 9], [12, 20]]), SETTINGS, SCORE)
    assert again.state["applied"] == 3
    for _ in range(2):
        ended = hand.act(_stroke(1, [[20, 30]], 3, end=True), SETTINGS, SCORE)
    other.act(_stroke(1, [[5, 5], [8, 9], [12, 20], [20, 30]], end=True), SETTINGS, SCORE)
    assert np.array_equal(hand.edit.painting.image, other.edit.painting.image)
    assert ended.state["done"] == 1
    assert len(hand.edit.painting.steps) == 1


def test_a_piece_that_is_ahead_waits_for_those_before_it():
    hand = _hand()
    hand.act(_stroke(1, [[5, 5]]), SETTINGS, SCORE)
    ahead = hand.act(_stroke(1, [[30, 30]], 4), SETTINGS, SCORE)
    assert ahead.state["applied"] == 1
    assert hand.edit.painting.image[0, 30, 30] != 1


def test_undo_that_arrives_twice_is_done_once():
    hand = _hand()
    for number in (1, 2):
        hand.act(_stroke(number, [[10 * number, 10]], end=True), SETTINGS, SCORE)
    for _ in range(3):
        hand.act({"do": "undo", "client": "a", "number": 3}, SETTINGS, SCORE)
    assert len(hand.edit.painting.steps) == 1
    hand.act({"do": "undo", "client": "another tab's view", "number": 1}, SETTINGS, SCORE)
    assert hand.edit.painting.is_original


def test_answers_hold_all_that_changed_and_say_what_they_follow():
    hand = _hand()
    shown = {name: values.copy() for name, values in hand.shown(SCORE).items()}
    version = hand.version
    for number, point in enumerate([[5, 5], [20, 30], [33, 7]], start=1):
        outcome = hand.act(_stroke(number, [point], end=True), SETTINGS, SCORE)
        assert outcome.state["from"] == version
        version = outcome.state["version"]
        for name, window in outcome.maps.items():
            part = shown[name] if name == IMAGE else shown[name][None]
            part[(..., *window.box)] = window.values
    expected = hand.shown(SCORE)
    for name in (IMAGE, LABELS, CHANGED):
        assert np.array_equal(shown[name], expected[name]), name
    assert np.allclose(shown[DIFFERENCE], expected[DIFFERENCE], atol=1e-5)
    whole = hand.act({"do": "sync", "client": "a"}, SETTINGS, SCORE)
    assert np.array_equal(whole.maps[LABELS].values[0], expected[LABELS])
    assert whole.state["isWhole"]


def test_a_move_follows_the_hand_and_is_one_step():
    hand = _hand()
    box = [{"op": "add", "kind": "box", "points": [[4, 4], [9, 9]]}]
    move = {"do": "move", "client": "a", "number": 1, "parts": box, "copy": True}
    original = hand.edit.painting.original
    for turn, offset in enumerate([[3, 0], [10, 5], [20, 25]]):
        outcome = hand.act(move | {"offset": offset, "turn": turn, "end": offset == [20, 25]}, SETTINGS, SCORE)
        assert outcome.state["turn"] == turn
    hand.act(move | {"offset": [1, 1], "turn": 9}, SETTINGS, SCORE)  # it has ended
    assert len(hand.edit.painting.steps) == 1
    assert np.array_equal(hand.edit.painting.image[:, 24:30, 29:35], original[:, 4:10, 4:10])


def test_a_saved_edit_is_loaded_by_another_hand():
    hand, other = _hand(), _hand(seed=1)
    hand.act(_stroke(1, [[5, 5], [30, 30]], end=True), SETTINGS, SCORE)
    other.load(Edit.load(hand.saved()))
    assert np.array_equal(hand.edit.painting.image, other.edit.painting.image)
    assert other.version == 1


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "points", "op"]), inner),
    max_leaves=6,
)
_ACTIONS = st.fixed_dictionaries(
    {"do": st.sampled_from(["stroke", "move", "fill", "undo", "redo", "restore", "check", "sync", "look"]) | _VALUES},
    optional=dict.fromkeys(("client", "number", "from", "points", "offset", "parts", "end", "turn"), _VALUES),
)


@settings(max_examples=150, deadline=None)
@given(_ACTIONS)
def test_what_makes_no_sense_is_refused_in_one_sentence(action):
    hand = _hand()
    try:
        outcome = hand.act(action, SETTINGS, SCORE)
    except UserError:
        return
    assert np.isfinite(hand.edit.painting.image).all()
    json.dumps({key: value for key, value in outcome.state.items() if key != "turn"})


def test_a_colour_is_taken_apart_and_a_missing_pixel_is_told():
    hand = _hand()
    with pytest.raises(UserError, match="no pixel"):
        hand.act({"do": "fill", "number": 1, "parts": []}, SETTINGS, SCORE)
    with pytest.raises(UserError, match="understood"):
        hand.act({"do": "fill", "number": 2}, SETTINGS, SCORE)
