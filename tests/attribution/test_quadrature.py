import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import UserError
from core.attribution.path_integral import RULES, nodes_and_weights


@given(st.sampled_from(RULES), st.integers(2, 300))
def test_weights_sum_to_one_and_nodes_lie_on_the_path(rule, n):
    nodes, weights = nodes_and_weights(rule, n)
    assert nodes.dtype == weights.dtype == np.float64
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    assert nodes.shape == weights.shape == (n,)
    assert nodes.min() >= 0
    assert nodes.max() <= 1
    assert (np.diff(nodes) > 0).all()


@given(st.integers(1, 12), st.integers(0, 23))
def test_gauss_legendre_is_exact_up_to_degree_2n_minus_1(n, degree):
    nodes, weights = nodes_and_weights("gausslegendre", n)
    error = abs(float(weights @ nodes**degree) - 1 / (degree + 1))
    if degree < 2 * n:
        assert error < 1e-13
    elif degree == 2 * n:
        assert error > 1e-17


def test_the_simple_rules_by_hand():
    np.testing.assert_allclose(nodes_and_weights("left", 4), [[0, 0.25, 0.5, 0.75], [0.25] * 4])
    np.testing.assert_allclose(nodes_and_weights("right", 4), [[0.25, 0.5, 0.75, 1], [0.25] * 4])
    np.testing.assert_allclose(nodes_and_weights("midpoint", 2), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(nodes_and_weights("trapezoid", 3), [[0, 0.5, 1], [0.25, 0.5, 0.25]])
    np.testing.assert_allclose(nodes_and_weights("trapezoid", 2), [[0, 1], [0.5, 0.5]])


def test_what_makes_no_rule():
    with pytest.raises(UserError, match="at least 2"):
        nodes_and_weights("trapezoid", 1)
    with pytest.raises(UserError, match="at least 1"):
        nodes_and_weights("midpoint", 0)
    with pytest.raises(UserError, match="gausslegendre"):
        nodes_and_weights("simpson", 3)
