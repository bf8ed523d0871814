import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core import UserError
from core.display.footprint import BoundingBox, bounding_box, footprint, share_within

MAP = np.array([[0, 0, 0, 0], [0, 4, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]], dtype=np.float32)


def test_by_hand():
    found = footprint(MAP, proportion=0.25)
    assert found.threshold == 1
    assert found.count == 2
    assert found.box == BoundingBox(1, 1, 2, 2)
    assert (found.box.height, found.box.width, found.box.area) == (2, 2, 4)
    assert found.fulfilment == 0.5
    assert footprint(MAP, threshold=0.5).count == 3


def test_nothing_above():
    for found in (footprint(MAP, proportion=1.0), footprint(MAP * 0, proportion=0.01), footprint(MAP, threshold=9)):
        assert found.count == 0
        assert found.box is None
        assert math.isnan(found.fulfilment)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.floats(0, 1), st.floats(0.01, 100))
@example(0, 0.9999999999999999, 1.0)
def test_properties(seed, proportion, scale):
    magnitude = np.random.default_rng(seed).exponential(size=(7, 9)).astype(np.float32)
    found = footprint(magnitude, proportion)
    assert found.count == sum(float(value) > found.threshold for value in magnitude.ravel())
    if found.box:
        inside = found.above[found.box.top : found.box.bottom + 1, found.box.left : found.box.right + 1]
        assert inside.sum() == found.count
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
        assert found.fulfilment == pytest.approx(found.count / found.box.area)
    assert footprint(magnitude, min(1.0, proportion + 0.1)).count <= found.count


def test_share_within_a_radius():
    uniform = np.ones((9, 9))
    assert share_within(uniform, 4, 4, 1) == pytest.approx(5 / 81)
    assert share_within(uniform, 4, 4, math.sqrt(2)) == pytest.approx(9 / 81)
    assert share_within(uniform, 0, 0, 100) == 1
    assert math.isnan(share_within(uniform * 0, 4, 4, 3))


def test_box_of_nothing():
    assert bounding_box(np.zeros((3, 3), dtype=bool)) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either a proportion"),
        ({"proportion": 0.1, "threshold": 0.1}, "either a proportion"),
        ({"proportion": 1.5}, "between 0 and 1; 1.5 was given"),
        ({"threshold": -1.0}, "not negative"),
        ({"threshold": float("nan")}, "not negative"),
    ],
)
def test_wrong_thresholds(arguments, message):
    with pytest.raises(UserError, match=message):
        footprint(MAP, **arguments)
