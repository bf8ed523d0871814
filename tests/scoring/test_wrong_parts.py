"""Wrong parts of a prediction, against masks drawn by hand."""

import numpy as np
import pytest

from core.data.index_masks import IGNORED
from core.scoring.wrong_parts import WrongPart, wrong_parts


def masks(*pictures: str) -> list[np.ndarray]:
    return [np.array([[int(sign) for sign in row] for row in picture.split()]) for picture in pictures]


def test_the_largest_comes_first_with_a_pixel_inside_it():
    truth, labels = masks(
        """0000000000
           0111110000
           0111110000
           0111110001
           0000000000""",
        """0000000000
           0000000000
           0000000000
           0000000000
           1100000000""",
    )
    assert wrong_parts(labels, truth) == [
        # One of the three pixels farthest from the edge.
        WrongPart(15, true_class=1, labelled=0, row=2, column=2, is_outline=False),
        WrongPart(2, true_class=0, labelled=1, row=4, column=0, is_outline=True),
        WrongPart(1, true_class=1, labelled=0, row=3, column=9, is_outline=True),
    ]


def test_the_pixel_lies_in_a_ring_not_in_its_hole():
    truth = np.zeros((21, 21), int)
    truth[2:19, 2:19] = 1
    truth[4:17, 4:17] = 0
    (part,) = wrong_parts(np.zeros_like(truth), truth)
    assert part.pixels == 17**2 - 13**2
    assert truth[part.row, part.column] == 1


def test_each_confusion_is_a_part_of_its_own_and_ignored_pixels_are_in_none():
    truth, labels = masks("1122 1122", "0000 0000")
    truth[1, 3] = IGNORED
    assert [(part.pixels, part.true_class, part.labelled) for part in wrong_parts(labels, truth)] == [
        (4, 1, 0), (3, 2, 0),
    ]  # fmt: skip


def test_outlines_come_last():
    truth, labels = masks(
        """000000000000
           011111111110
           000000000000
           011200000000
           011200000000
           011200000000""",
        """000000000000
           000000000000
           000000000000
           000000000000
           000000000000
           000000000000""",
    )
    assert [(part.pixels, part.true_class, part.is_outline) for part in wrong_parts(labels, truth)] == [
        (6, 1, False),  # three wide with the other class
        (10, 1, True),
        (3, 2, True),
    ]


def test_corners_connect_and_a_right_prediction_has_no_part():
    truth, labels = masks("100 010 001", "000 000 000")
    assert [part.pixels for part in wrong_parts(labels, truth)] == [3]
    assert wrong_parts(truth, truth) == []


@pytest.mark.parametrize(
    ("true_class", "labelled", "names", "words"),
    [
        (1, 0, ("background", "vessel"), "false negative, 1,084 px of vessel labelled background"),
        (0, 1, ("background", "vessel"), "false positive, 1,084 px of background labelled vessel"),
        (2, 1, ("road", "sidewalk", "car"), "wrong label, 1,084 px of car labelled sidewalk"),
    ],
)
def test_words(true_class, labelled, names, words):
    assert WrongPart(1084, true_class, labelled, 0, 0, is_outline=False).describe(names) == words
