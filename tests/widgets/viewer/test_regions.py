"""The region drawn in a viewer: kept for one image, under the name of its tool."""

import numpy as np
import pytest
import streamlit as st
from skimage.draw import polygon2mask

from core.drawn_regions import DrawnPart
from core.errors import UserError
from core.segmenter import Prediction
from widgets.viewer.regions import keep_region, pixel_set_of, restore_region

SIZE = (20, 30)
BOX = DrawnPart("box", ((2.4, 3.0), (9.6, 12.2)))
LASSO = DrawnPart("lasso", ((1.0, 1.0), (1.0, 20.5), (15.5, 9.0)))
HOLE = DrawnPart("box", ((4.0, 5.0), (6.0, 7.0)), takes_away=True)
PREDICTION = Prediction(np.zeros((2, *SIZE), np.float32), np.zeros(SIZE, np.int64))


@pytest.fixture(autouse=True)
def tab(monkeypatch):
    """A browser tab of its own: plain dictionaries in place of Streamlit's."""
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(st, "query_params", {})


def test_a_region_is_kept_for_its_image_under_the_name_of_its_tool():
    assert restore_region("first", "lasso") == ()
    keep_region("lasso", [LASSO, HOLE])
    assert restore_region("first", "lasso") == (LASSO, HOLE)
    assert restore_region("first", "box") == ()
    assert restore_region("second", "lasso") == ()
    assert restore_region("first", "lasso") == ()


def test_the_address_gives_the_first_region():
    st.query_params["box"] = "2.4,3,9.6,12.2;!4,5,6,7"
    assert restore_region("first", "box") == (BOX, HOLE)
    keep_region("box", [])
    assert restore_region("first", "box") == ()


def test_a_name_that_is_no_tool_keeps_nothing():
    keep_region("row", [BOX])
    assert st.session_state == {}


def test_an_address_that_is_no_region_is_one_sentence():
    st.query_params["lasso"] = "somewhere"
    with pytest.raises(UserError, match="is no region"):
        restore_region("first", "lasso")


def test_pixels_of_a_region_with_a_hole():
    mask = pixel_set_of([LASSO, HOLE], "lasso").mask(PREDICTION)
    expected = polygon2mask(SIZE, np.array(LASSO.points))
    expected[4:7, 5:8] = False
    np.testing.assert_array_equal(mask, expected)


def test_a_single_lasso_and_a_single_box():
    np.testing.assert_array_equal(
        pixel_set_of([LASSO], "lasso").mask(PREDICTION), polygon2mask(SIZE, np.array(LASSO.points))
    )
    mask = pixel_set_of([BOX], "box").mask(PREDICTION)
    assert mask[3:10, 3:13].all()
    assert mask.sum() == 7 * 10


def test_a_region_without_a_pixel_is_one_sentence():
    for parts in (
        [DrawnPart("box", ((1.1, 1.1), (1.9, 5.0)))],
        [BOX, DrawnPart("box", ((0, 0), (19, 29)), takes_away=True)],
    ):
        with pytest.raises(UserError, match="no pixel's centre"):
            pixel_set_of(parts, "box").mask(PREDICTION)
