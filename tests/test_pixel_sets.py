import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core import UserError
from core.pixel_sets import PIXEL_SETS, TITLES, PixelSet, border, box, connected_component, lasso, point
from core.segmenter import Prediction
from core.target import PREDICTED

LABELS = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 2],
        [0, 1, 1, 1, 0, 2],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ]
)
TRUTH = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 2],
        [0, 1, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
)


def _prediction(labels: np.ndarray, classes: int = 4) -> Prediction:
    return Prediction(np.moveaxis(np.eye(classes, dtype=np.float32)[labels], -1, 0), labels)


PREDICTION = _prediction(LABELS)


def _pixels(mask: np.ndarray) -> set[tuple[int, int]]:
    assert mask.dtype == bool
    return {(int(row), int(column)) for row, column in np.argwhere(mask)}


def test_sets_by_hand():
    square = {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    assert _pixels(PixelSet("class").mask(PREDICTION, 1)) == square | {(4, 4)}
    assert _pixels(PixelSet("class").mask(PREDICTION, 2)) == {(1, 5), (2, 5)}
    assert PixelSet("image").mask(PREDICTION).all()
    assert not PixelSet("zero").mask(PREDICTION).any()
    assert _pixels(PixelSet("point", row=4, column=4).mask(PREDICTION)) == {(4, 4)}
    assert _pixels(PixelSet("component", row=1, column=5).mask(PREDICTION)) == {(1, 5), (2, 5)}
    assert _pixels(PixelSet("component", row=2, column=2).mask(PREDICTION)) == square | {(4, 4)}  # over the corner
    assert _pixels(PixelSet("box", box=(1, 4, 2, 9)).mask(PREDICTION)) == {(1, 4), (1, 5), (2, 4), (2, 5)}
    assert _pixels(PixelSet("border").mask(PREDICTION, 1)) == (square - {(2, 2)}) | {(4, 4)}
    assert _pixels(PixelSet("border", width=2).mask(PREDICTION, 1)) == square | {(4, 4)}
    # The image's edge is no border: only the neighbours of class 0 count, which here are all of class 2.
    assert _pixels(border(np.array([[2, 2, 2], [2, 2, 2], [2, 2, 0]]), 2)) == {(1, 1), (1, 2), (2, 1)}


def test_sets_against_the_ground_truth():
    def found(name: str) -> set[tuple[int, int]]:
        return _pixels(PixelSet(name).mask(PREDICTION, 1, TRUTH))

    assert found("true_positives") == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert found("false_positives") == {(1, 3), (2, 3), (3, 1), (3, 2), (3, 3), (4, 4)}
    assert found("false_negatives") == {(2, 5)}
    assert len(found("true_negatives")) == LABELS.size - 4 - 6 - 1


def test_pixels_without_a_true_class_are_in_no_set():
    partly = TRUTH.copy()
    partly[0], partly[4, 4] = 255, 255
    assert (4, 4) not in _pixels(PixelSet("false_positives").mask(PREDICTION, 1, partly))
    assert not PixelSet("true_negatives").mask(PREDICTION, 1, partly)[0].any()


@given(*[arrays(np.int64, (6, 7), elements=st.integers(0, 2))] * 2)
def test_the_four_outcomes_share_out_the_image(labels, truth):
    total = np.zeros((6, 7), dtype=int)
    for name in ("true_positives", "false_positives", "false_negatives", "true_negatives"):
        with contextlib.suppress(UserError):  # there is no such pixel
            total += PixelSet(name).mask(_prediction(labels), 1, truth)
    assert (total == 1).all()


def test_lasso_takes_centres_inside():
    diamond = [(2.0, 0.4), (0.4, 2.0), (2.0, 3.6), (3.6, 2.0)]
    expected = np.abs(np.arange(5)[:, None] - 2) + np.abs(np.arange(6) - 2) <= 1.6
    np.testing.assert_array_equal(lasso((5, 6), diamond), expected)
    np.testing.assert_array_equal(lasso((5, 6), diamond[::-1]), expected)
    loop_in_loop = [(0.5, 0.5), (0.5, 5.5), (5.5, 5.5), (5.5, 0.5), (0.5, 0.5),
                    (1.5, 1.5), (1.5, 4.5), (4.5, 4.5), (4.5, 1.5), (1.5, 1.5)]  # fmt: skip
    ring = np.zeros((7, 7), dtype=bool)
    ring[1:6, 1:6] = True
    ring[2:5, 2:5] = False
    np.testing.assert_array_equal(lasso((7, 7), loop_in_loop), ring)
    assert lasso((3, 4), [(-9, -9), (-9, 20), (20, 20), (20, -9)]).all()


@given(
    top=st.integers(0, 5), left=st.integers(0, 6), rows=st.integers(1, 4), columns=st.integers(1, 4),
    shift=st.floats(0.05, 0.45),
)  # fmt: skip
def test_a_rectangular_lasso_is_a_box(top, left, rows, columns, shift):
    bottom, right = top + rows - 1, left + columns - 1
    corners = [(top - shift, left - shift), (top - shift, right + shift), (bottom + shift, right + shift),
               (bottom + shift, left - shift)]  # fmt: skip
    np.testing.assert_array_equal(lasso((10, 11), corners), box((10, 11), top, left, bottom, right))


def test_a_target_is_made_of_it():
    target = PixelSet("class").target(PREDICTION, 2, "probability", "mean")
    assert target.describe()["pixels"] == 2
    assert (target.class_index, target.space, target.reduction) == (2, "probability", "mean")
    assert not PixelSet("zero").target(PREDICTION).mask.any()
    assert PixelSet("zero").target(PREDICTION, reduction="mean").reduction == "sum", "nothing has no mean"


def test_the_whole_prediction_is_the_predicted_class_at_every_pixel():
    target = PixelSet("prediction").target(PREDICTION, 2, "probability", "mean")
    assert (target.class_index, target.space, target.reduction) == (PREDICTED, "probability", "mean")
    np.testing.assert_array_equal(target.labels, LABELS)
    assert target.mask.all()
    assert PixelSet("prediction").describe() == {"name": "prediction"}


def test_without_a_class_it_is_the_predicted_one():
    pixel = PixelSet("point", row=1, column=5).target(PREDICTION, None, "log_odds")
    assert (pixel.row, pixel.column, pixel.class_index, pixel.space) == (1, 5, 2, "log_odds")
    assert PixelSet("point", row=1, column=5).target(PREDICTION, 3).class_index == 3
    target = PixelSet("box", box=(1, 4, 2, 9)).target(PREDICTION, None)
    assert target.class_index == PREDICTED
    assert _pixels(target.mask != 0) == {(1, 4), (1, 5), (2, 4), (2, 5)}
    for name in ("class", "border", "false_negatives"):
        with pytest.raises(UserError, match=f"{name} needs to know of which class"):
            PixelSet(name).target(PREDICTION, None, truth=TRUTH)


def test_every_set_has_a_title_and_plain_values():
    assert set(TITLES) == set(PIXEL_SETS)
    assert PixelSet("lasso", lasso=[(1, 2), (3, 4.5), (0, 1)]).describe() == {
        "name": "lasso", "lasso": [[1.0, 2.0], [3.0, 4.5], [0.0, 1.0]],
    }  # fmt: skip
    assert PixelSet("box", box=(1, 2, 3, 4)).describe() == {"name": "box", "box": [1, 2, 3, 4]}
    assert PixelSet("point", row=1, column=2).describe() == {"name": "point", "row": 1, "column": 2}
    assert PixelSet("border", width=3).describe() == {"name": "border", "width": 3}


@pytest.mark.parametrize(
    ("chosen", "arguments", "message"),
    [
        (PixelSet("class"), (3, None, ("a", "b", "c", "car")), r"predicted as class 3 \(car\); .* classes 0, 1, 2"),
        (PixelSet("class"), (4,), "There is no class 4"),
        (PixelSet("border"), (3,), "predicted as class 3"),
        (PixelSet("border", width=0), (1,), "at least 1 pixel"),
        (PixelSet("point", row=5, column=0), (), "outside the image of 5 rows and 6 columns"),
        (PixelSet("component", row=0, column=-1), (), "outside the image"),
        (PixelSet("component", row=0), (), "needs a row and a column"),
        (PixelSet("box"), (), "needs its first row"),
        (PixelSet("box", box=(3, 3, 2, 5)), (), "holds no pixel"),
        (PixelSet("box", box=(-5, 0, -2, 3)), (), "holds no pixel"),
        (PixelSet("lasso"), (), "at least three corners"),
        (PixelSet("lasso", lasso=[(1, 1), (2, 2)]), (), "at least three corners"),
        (PixelSet("lasso", lasso=[(1, 1), (2, float("nan")), (3, 1)]), (), "at least three corners"),
        (PixelSet("lasso", lasso=[(1.2, 1.2), (1.2, 1.8), (1.8, 1.8)]), (), "no pixel's centre inside the lasso"),
        (PixelSet("lasso", lasso=[(11, 11), (11, 18), (18, 18)]), (), "no pixel's centre inside the lasso"),
        (PixelSet("true_positives"), (), "need a ground truth"),
        (PixelSet("true_positives"), (2, LABELS * 0 + 1), "no true positives of class 2"),
        (PixelSet("false_positives"), (1, TRUTH[:2]), "must be of one size"),
        (PixelSet("false_positives"), (1, TRUTH + 250), "holds the label 250"),
        (PixelSet("circle"), (), "The pixel set is one of"),
    ],
)
def test_mistakes_are_told(chosen, arguments, message):
    with pytest.raises(UserError, match=message):
        chosen.mask(PREDICTION, *arguments)


def test_a_class_that_fills_the_image_has_no_border():
    with pytest.raises(UserError, match="has no border"):
        border(np.ones((4, 4), dtype=int), 1)


@given(labels=arrays(np.int64, (7, 8), elements=st.integers(0, 1)), row=st.integers(0, 6), column=st.integers(0, 7))
def test_a_component_is_what_a_flood_reaches(labels, row, column):
    reached, waiting = {(row, column)}, [(row, column)]
    while waiting:
        at = waiting.pop()
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                near = at[0] + dy, at[1] + dx
                inside = 0 <= near[0] < 7 and 0 <= near[1] < 8
                if inside and near not in reached and labels[near] == labels[row, column]:
                    reached.add(near)
                    waiting.append(near)
    assert _pixels(connected_component(labels, row, column)) == reached
    assert _pixels(point(labels, row, column)) == {(row, column)}
