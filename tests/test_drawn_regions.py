"""Drawn regions: their pixels as scikit-image rasterises them, and their text."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import disk, polygon2mask

from core.drawn_regions import DrawnPart, parts_of, parts_text, region_mask
from core.errors import UserError

SIZE = (24, 31)
PLACES = st.floats(-8, 40).map(lambda value: round(value, 1))
POINTS = st.tuples(PLACES, PLACES)
BOXES = st.builds(DrawnPart, st.just("box"), st.tuples(POINTS, POINTS), st.booleans())
LASSOS = st.builds(DrawnPart, st.just("lasso"), st.lists(POINTS, min_size=3, max_size=9).map(tuple), st.booleans())
DOTS = st.builds(
    DrawnPart, st.just("brush"), st.tuples(POINTS), st.booleans(), st.floats(0.5, 9).map(lambda value: round(value, 1))
)


def rasterised(part: DrawnPart) -> np.ndarray:
    """The pixels of one part by scikit-image, and of a box by the distance of the centres from its edges."""
    if part.kind == "lasso":
        return polygon2mask(SIZE, np.array(part.points))
    if part.kind == "brush":
        mask = np.zeros(SIZE, dtype=bool)
        # scikit-image leaves the circle itself out; a centre exactly on it belongs to the stroke.
        mask[disk(part.points[0], part.radius + 1e-9, shape=SIZE)] = True
        return mask
    (top, left), (bottom, right) = part.points
    rows, columns = np.indices(SIZE)
    inside_rows = (rows >= min(top, bottom)) & (rows <= max(top, bottom))
    return inside_rows & (columns >= min(left, right)) & (columns <= max(left, right))


@given(st.lists(st.one_of(BOXES, LASSOS, DOTS), max_size=4))
def test_a_region_is_its_parts_added_and_taken_away_in_their_order(parts):
    expected = np.zeros(SIZE, dtype=bool)
    for part in parts:
        expected = expected & ~rasterised(part) if part.takes_away else expected | rasterised(part)
    np.testing.assert_array_equal(region_mask(SIZE, parts), expected)


def test_a_stroke_covers_the_discs_around_the_points_of_its_line():
    points = ((5.0, 4.0), (15.0, 24.0), (6.0, 27.5))
    expected = np.zeros(SIZE, dtype=bool)
    for start, end in pairwise(points):
        for share in np.linspace(0, 1, 2001):
            place = np.array(start) * (1 - share) + np.array(end) * share
            expected[disk(place, 2.7, shape=SIZE)] = True
    found = region_mask(SIZE, [DrawnPart("brush", points, radius=2.7)])
    # Between two of the discs a centre may lie nearer to the line than to either of their own.
    assert not (expected & ~found).any()
    assert (found & ~expected).sum() <= 1
    assert found.sum() > 100


def test_the_order_of_the_parts_counts():
    whole, middle = DrawnPart("box", ((0, 0), (9, 9))), DrawnPart("box", ((3, 3), (6, 6)), takes_away=True)
    assert region_mask(SIZE, [whole, middle]).sum() == 100 - 16
    assert region_mask(SIZE, [middle, whole]).sum() == 100


@given(st.lists(st.one_of(BOXES, LASSOS, DOTS), max_size=4))
def test_a_region_comes_back_from_its_text_and_from_its_description(parts):
    assert parts_of(parts_text(parts)) == tuple(parts)
    assert [DrawnPart.from_description(part.describe()) for part in parts] == parts


def test_the_text_of_a_box_may_have_its_corners_the_other_way():
    mask = region_mask(SIZE, parts_of("6.4,9,2,3.5"))
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 6, 4, 9)


@pytest.mark.parametrize(
    "text", ["x", "1,2,3", "1,2,3,4,5", "nan,1,2,3", "1,2,3,inf", "1,2 3", "1,2 3,4", ";", "1,2,3,4;"]
)
def test_a_text_that_is_no_region_is_one_sentence(text):
    with pytest.raises(UserError):
        parts_of(text)


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"kind": "circle", "points": [[1, 2]]},
        {"kind": "box", "points": "ab"},
        {"kind": "lasso", "points": [[1, 2]]},
    ],
)
def test_a_description_that_is_no_region_is_one_sentence(description):
    with pytest.raises(UserError):
        DrawnPart.from_description(description)


def test_no_text_is_no_region():
    assert parts_of("  ") == ()
    assert not region_mask(SIZE, ()).any()
