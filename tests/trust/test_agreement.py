import numpy as np
import pytest

from core.trust.similarity import rank_correlation, rank_correlations


def test_rank_correlation_of_hand_ranked_numbers():
    # ρ = 1 - 6·Σd²/(n(n²-1)); ranks (1 2 3 4) and (2 1 4 3) differ by 1 four times: 1 - 24/60.
    first = np.array([[10.0, 20.0], [30.0, 400.0]])
    second = np.array([[-1.0, -2.0], [8.0, 7.5]])
    rho, count = rank_correlation(first, second)
    assert rho == pytest.approx(0.6)
    assert count == 4


def test_rank_correlation_leaves_out_what_is_not_known():
    first = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    second = np.array([1.0, 4.0, 9.0, 0.0, np.inf])
    assert rank_correlation(first, second) == (pytest.approx(1.0), 3)
    assert np.isnan(rank_correlation(first[:2], second[:2])[0])
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0))[0])


def test_a_table_of_all_pairs():
    first = np.array([[1.0, 2.0], [3.0, 4.0]])
    table = rank_correlations([first, first**3, -first])
    np.testing.assert_allclose(table, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])
