"""Regions as text, as Plotly reports them, and as pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.segmenter import Prediction
from widgets.shared.region_picker import Region, drawn_region, region_of

PLACES = st.floats(-5, 300).map(lambda value: round(value, 1))


def mask_of(region, size):
    return region.pixel_set.mask(Prediction(np.zeros((2, *size), np.float32), np.zeros(size, np.int64)))


def test_a_box_holds_the_pixels_whose_centres_lie_inside():
    mask = mask_of(Region(box=(0.6, 1.0, 2.4, 3.9)), (4, 6))
    assert mask.astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_a_box_is_cut_at_the_edges_of_the_image():
    assert mask_of(Region(box=(-3.2, -1.0, 0.5, 1.5)), (3, 3)).tolist() == [
        [True, True, False],
        [False, False, False],
        [False, False, False],
    ]


def test_a_lasso_holds_the_pixels_whose_centres_lie_inside():
    triangle = mask_of(Region(lasso=((-0.5, -0.5), (-0.5, 3.4), (3.4, -0.5))), (4, 4))
    assert triangle.astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    "region",
    [
        Region(box=(1.1, 1.1, 1.9, 5.0)),
        Region(box=(10, 10, 12, 12)),
        Region(lasso=((1.1, 1.1), (1.2, 1.4), (1.4, 1.2))),
        Region(lasso=((0.0, 0.0), (3.0, 3.0))),
    ],
)
def test_a_region_without_pixels_is_one_sentence(region):
    with pytest.raises(UserError):
        mask_of(region, (8, 8))


@given(st.tuples(PLACES, PLACES, PLACES, PLACES), st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=30))
def test_a_region_comes_back_from_its_text(box, corners):
    for region, mode in ((Region(box=box), "box"), (Region(lasso=tuple(corners)), "lasso")):
        assert region_of(region.text, mode) == region


@pytest.mark.parametrize("text", ["x", "1,2,3", "1,2,3,4,5", "nan,1,2,3", "1,2,3,inf"])
def test_a_text_that_is_no_box_is_one_sentence(text):
    with pytest.raises(UserError, match="is no box"):
        region_of(text, "box")


@pytest.mark.parametrize("text", ["x", "1,2,3", "1,2 3", "1,nan 2,3 4,5"])
def test_a_text_that_is_no_lasso_is_one_sentence(text):
    with pytest.raises(UserError, match="is no lasso"):
        region_of(text, "lasso")


def test_no_text_is_no_region():
    assert region_of("  ", "box") is None


def test_what_plotly_reports_becomes_rows_and_columns():
    box = {"box": [{"xref": "x", "yref": "y", "x": [7.5, 2.25], "y": [1.5, 9.0]}], "lasso": []}
    assert drawn_region(box, "box") == Region(box=(1.5, 2.25, 9.0, 7.5))
    lasso = {"box": [], "lasso": [{"x": [1.0, 4.0, 2.0], "y": [0.0, 5.0, 6.0]}]}
    assert drawn_region(lasso, "lasso") == Region(lasso=((0.0, 1.0), (5.0, 4.0), (6.0, 2.0)))
    assert drawn_region({"box": [], "lasso": []}, "box") is None
    assert np.array_equal(mask_of(drawn_region(box, "box"), (12, 12)), mask_of(Region(box=(2, 3, 9, 7)), (12, 12)))
