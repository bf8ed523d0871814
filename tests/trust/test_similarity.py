import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core import UserError
from core.trust.similarity import (
    agreeing_controls,
    detail_correlation,
    rank_correlation,
    structural_similarity,
    top_overlap,
    top_overlaps,
    top_places,
)

MAPS = arrays(np.float64, (8, 9), elements=st.integers(-5, 5))


def _written_out(first: np.ndarray, second: np.ndarray) -> float:
    """The definition, window by window."""
    first, second = first / np.abs(first).max(), second / np.abs(second).max()
    data_range = max(first.max(), second.max()) - min(first.min(), second.min())
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    found = []
    for row in range(first.shape[0] - 6):
        for column in range(first.shape[1] - 6):
            x, y = (values[row : row + 7, column : column + 7].ravel() for values in (first, second))
            covariance = np.cov(x, y)
            found.append(
                (2 * x.mean() * y.mean() + c1)
                * (2 * covariance[0, 1] + c2)
                / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2))
            )
    return float(np.mean(found))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ssim_is_its_definition(seed):
    first, second = np.random.default_rng(seed).normal(size=(2, 11, 13))
    second = 3 * second + first
    assert structural_similarity(first, second) == pytest.approx(_written_out(first, second), abs=1e-10)


@given(MAPS, MAPS, st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
@settings(max_examples=50, deadline=None)
def test_ssim_properties(first, second, scale, other):
    found = structural_similarity(first, second)
    assert structural_similarity(first, first) == pytest.approx(1)
    assert found == pytest.approx(structural_similarity(second, first))
    assert found == pytest.approx(structural_similarity(scale * first, other * second), abs=1e-6)
    assert -1 - 1e-9 <= found <= 1 + 1e-9


def test_ssim_tells_an_edge_from_noise_and_signs_apart():
    rng = np.random.default_rng(0)
    edge = np.zeros((32, 32))
    edge[:, 15:17] = 1.0
    assert structural_similarity(edge, edge + 0.001 * rng.random((32, 32))) > 0.9
    assert structural_similarity(edge, rng.random((32, 32))) < 0.1
    assert structural_similarity(rng.normal(size=(16, 16)), np.zeros((16, 16))) < 0.1
    board = np.indices((16, 16)).sum(axis=0) % 2 - 0.5
    assert structural_similarity(5 + board, 5 - board) < -0.9


def test_ssim_of_maps_that_say_nothing():
    zeros, ones = np.zeros((8, 8)), np.ones((8, 8))
    assert structural_similarity(zeros, zeros) == 1
    assert structural_similarity(ones, 5 * ones) == 1
    broken = ones.copy()
    broken[0, 0] = np.nan
    assert np.isnan(structural_similarity(broken, ones))
    assert np.isnan(structural_similarity(np.ones((2, 9)), np.ones((2, 9))))
    small = np.random.default_rng(0).normal(size=(4, 5))
    assert structural_similarity(small, small) == pytest.approx(1)
    single = np.float32(1e-30) * np.random.default_rng(0).random((8, 8)).astype(np.float32)
    assert structural_similarity(single, single) == pytest.approx(1)


def test_details_do_not_see_what_fades_with_the_distance():
    rng = np.random.default_rng(0)
    rows, columns = np.indices((64, 64))
    fading = 0.8 ** np.hypot(rows - 20, columns - 30)
    first, second = (fading * rng.random((64, 64)) for _ in range(2))
    assert rank_correlation(first, second)[0] > 0.7
    assert abs(detail_correlation(first, second)) < 0.1
    assert detail_correlation(first, first**2) == pytest.approx(1)
    assert detail_correlation(first, -first) == pytest.approx(-1)
    assert detail_correlation(first, 0.5 * first + 0.5 * second) > 0.4


@given(MAPS, MAPS)
@settings(max_examples=50, deadline=None)
def test_detail_correlation_properties(first, second):
    found = detail_correlation(first, second)
    if np.isnan(found):
        said = (first != 0) | (second != 0)
        assert said.sum() < 50 or any(len(np.unique(values[said])) == 1 for values in (first, second))
        return
    assert found == pytest.approx(detail_correlation(second, first), abs=1e-9)
    assert found == pytest.approx(detail_correlation(2 * first, second**3), abs=1e-9)
    assert found == pytest.approx(detail_correlation(first[::-1], second[::-1]), abs=1e-9)
    assert -1 - 1e-9 <= found <= 1 + 1e-9


def test_what_no_map_can_reach_is_left_out():
    rng = np.random.default_rng(0)
    reached = np.zeros((64, 64))
    reached[20:45, 10:35] = 1
    first, second = (reached * (0.5 + rng.random((64, 64))) for _ in range(2))
    assert rank_correlation(first, second)[0] > 0.7
    assert abs(detail_correlation(first, second)) < 0.1
    alone = detail_correlation(first[20:45, 10:35], second[20:45, 10:35])
    assert detail_correlation(first, second) == pytest.approx(alone, abs=0.02)
    assert np.isnan(detail_correlation(reached, 3 * reached))


def test_details_of_few_pixels_tell_nothing():
    first = np.zeros((16, 16))
    first.flat[:50] = np.random.default_rng(0).random(50) + 1
    assert detail_correlation(first, first) == pytest.approx(1)
    first.flat[49] = 0
    assert np.isnan(detail_correlation(first, first))


def test_no_detail_correlation_with_nothing():
    noise = np.random.default_rng(0).normal(size=(8, 8))
    assert np.isnan(detail_correlation(noise, np.ones((8, 8))))
    assert np.isnan(detail_correlation(np.where(noise > 1, np.nan, noise), noise))
    with pytest.raises(UserError, match="of one size"):
        detail_correlation(noise, noise[:4])


def test_top_places_by_hand():
    assert top_places(np.array([[3.0, 1.0], [2.0, 0.0]]), 2).tolist() == [[1, 0], [1, 0]]
    assert top_places(np.array([5.0, 1.0, 1.0, 0.0]), 2).tolist() == [1, 0.5, 0.5, 0]
    assert top_places(np.zeros(4), 1).tolist() == [0.25] * 4
    assert top_places(np.arange(3.0), 3).tolist() == [1, 1, 1]


def test_overlap_by_hand():
    first = np.arange(10.0).reshape(2, 5)
    second = first.copy()
    second[1] = [9, 5, 6, 7, 8]  # its three highest, 9, 8 and 7, are at the columns 0, 4, 3
    assert top_overlap(first, second, 0.3) == pytest.approx(2 / 3)
    assert top_overlap(first, -first, 0.5) == 0
    assert top_overlap(first, -first, 1.0) == 1
    assert top_overlap(first, np.zeros((2, 5)), 0.3) == pytest.approx(0.3)
    assert top_overlap(first, first, 1e-9) == 1


@given(MAPS, MAPS, st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_overlap_properties(first, second, fraction):
    found = top_overlap(first, second, fraction)
    assert 0 <= found <= 1 + 1e-9
    assert found == pytest.approx(top_overlap(second, first, fraction))
    assert top_overlap(first, first, fraction) == pytest.approx(1)
    assert found == pytest.approx(top_overlap(2 * first + 1, second**3, fraction))
    order = np.random.default_rng(0).permutation(first.size)
    shuffled = (values.ravel()[order].reshape(first.shape) for values in (first, second))
    assert found == pytest.approx(top_overlap(*shuffled, fraction))


def test_overlaps_of_pairs():
    maps = list(np.random.default_rng(0).normal(size=(3, 6, 6)))
    found = top_overlaps([*maps, np.full((6, 6), np.nan)], 0.25)
    for row in range(3):
        for column in range(3):
            assert found[row, column] == pytest.approx(top_overlap(maps[row], maps[column], 0.25))
    assert np.isnan(found[3, :3]).all()
    assert found.shape == (4, 4)


def test_mistakes():
    with pytest.raises(UserError, match="of one size"):
        structural_similarity(np.zeros((8, 8)), np.zeros((8, 9)))
    with pytest.raises(UserError, match="of one size"):
        top_overlaps([np.zeros((8, 8)), np.zeros((8, 9))])
    for fraction in (0.0, 1.1):
        with pytest.raises(UserError, match="fraction"):
            top_overlap(np.zeros((8, 8)), np.zeros((8, 8)), fraction)


def test_maps_that_could_have_been_made_without_the_network():
    names, controls = ["ours", "noise", "theirs", "edges"], ["noise", "edges"]
    table = np.array([
        [1.00, 0.20, 0.99, 0.95],
        [0.20, 1.00, 0.97, 0.99],
        [0.99, 0.97, 1.00, np.nan],
        [0.95, 0.99, np.nan, 1.00],
    ])  # fmt: skip
    # Neither two maps of methods, nor two controls, nor what is not defined.
    assert agreeing_controls(table, names, controls) == [("ours", "edges", 0.95), ("theirs", "noise", 0.97)]
    assert agreeing_controls(table, names, controls, 0.96) == [("theirs", "noise", 0.97)]
