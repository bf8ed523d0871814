from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core import UserError
from core.trust.metrics.localisation import localisation

INSIDE = np.array([[True, True, False], [False, False, False]])


def test_by_hand():
    found = localisation(np.array([[4.0, 1.0, 3.0], [0.0, -2.0, 2.0]]), INSIDE)
    assert found.mass_inside == 0.5  # (4 + 1) / (4 + 1 + 3 + 2)
    assert found.top_k == 0.5  # of 4 and 3 one is inside
    assert found.pointing_game == 1
    assert found.localisation_auc == 0.75  # 4 beats 3, 0, -2, 2; 1 beats 0, -2: 6 of 8
    assert found.area_ratio == pytest.approx(1 / 3)


def test_ties_share():
    found = localisation(np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), INSIDE)
    assert found.mass_inside == pytest.approx(1 / 3)
    assert found.top_k == pytest.approx(1 / 3)  # three pixels share two places, one of them inside
    assert found.pointing_game == pytest.approx(1 / 3)
    assert found.localisation_auc == 0.5  # 1 against 1, 1, 0, 0: 3; 0 against 1, 1, 0, 0: 1; of 8
    constant = localisation(np.ones((2, 3)), INSIDE)
    assert (constant.mass_inside, constant.top_k, constant.pointing_game) == (1 / 3, 1 / 3, 1 / 3)
    assert constant.localisation_auc == 0.5


def test_unknown_pixels_count_nowhere():
    known = np.ones((2, 3), dtype=bool)
    known[0, 2] = known[1, 0] = False
    values = np.array([[4.0, 1.0, 100.0], [50.0, -2.0, 5.0]])
    found = localisation(values, INSIDE, known)
    assert astuple(found) == (0.5, 0.5, 0.0, 0.5, 0.5)
    values[0, 2] = np.nan
    assert localisation(values, INSIDE, known) == found


def test_top_fraction():
    values = np.array([[4.0, 1.0, 3.0], [0.0, -2.0, 2.0]])
    assert localisation(values, INSIDE, fraction=0.17).top_k == 1  # one pixel, the 4
    assert localisation(values, INSIDE, fraction=0.5).top_k == pytest.approx(1 / 3)
    assert localisation(values, INSIDE, fraction=1.0).top_k == pytest.approx(1 / 3)


def test_nothing_to_point_at():
    values = np.arange(6.0).reshape(2, 3)
    empty = localisation(values, np.zeros((2, 3), dtype=bool))
    assert np.isnan(astuple(empty)[:4]).all()
    assert empty.area_ratio == 0
    full = localisation(values, np.ones((2, 3), dtype=bool))
    assert (full.mass_inside, full.top_k, full.pointing_game) == (1, 1, 1)
    assert np.isnan(full.localisation_auc)
    assert np.isnan(localisation(-values - 1, INSIDE).mass_inside)
    assert localisation(-values - 1, INSIDE).localisation_auc == 1
    unknown = localisation(values, INSIDE, np.zeros((2, 3), dtype=bool))
    assert np.isnan(astuple(unknown)).all()
    values[1, 1] = np.inf
    assert np.isnan(astuple(localisation(values, INSIDE))[:4]).all()


@given(
    arrays(np.float64, (4, 5), elements=st.integers(-3, 6)),
    arrays(np.bool_, (4, 5)),
    st.floats(0.1, 10),
)
@settings(max_examples=100, deadline=None)
def test_properties(values, mask, scale):
    assume(mask.any() and not mask.all())
    found = localisation(values, mask)
    numbers = np.array(astuple(found))
    assert np.all((numbers[~np.isnan(numbers)] >= 0) & (numbers[~np.isnan(numbers)] <= 1 + 1e-9))
    np.testing.assert_allclose(astuple(localisation(scale * values, mask)), numbers, atol=1e-9)
    np.testing.assert_allclose(astuple(localisation(values[::-1], mask[::-1])), numbers, atol=1e-9)
    outside = localisation(values, ~mask)
    assert found.localisation_auc + outside.localisation_auc == pytest.approx(1)
    assert found.pointing_game + outside.pointing_game == pytest.approx(1)
    pairs = np.sign(values[mask][:, None] - values[~mask][None, :])
    assert found.localisation_auc == pytest.approx(float((pairs + 1).mean() / 2))
    perfect = localisation(mask * 2.0, mask)
    assert (perfect.mass_inside, perfect.top_k, perfect.pointing_game, perfect.localisation_auc) == (1, 1, 1, 1)


def test_mistakes():
    with pytest.raises(UserError, match="booleans"):
        localisation(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(UserError, match="one size"):
        localisation(np.ones((2, 4)), INSIDE)
    with pytest.raises(UserError, match="known pixels"):
        localisation(np.ones((2, 3)), INSIDE, np.ones((2, 4), dtype=bool))
    with pytest.raises(UserError, match="fraction"):
        localisation(np.ones((2, 3)), INSIDE, fraction=0)
