import numpy as np
import pytest

from core.errors import UserError
from core.jacobian.vessel_geometry import medians, vessel_geometry


@pytest.mark.parametrize("across", [1, 2, 3, 4, 5, 6, 9])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_straight_bar_has_its_own_width(across, axis):
    mask = np.zeros((40, 60), dtype=bool)
    mask[12 : 12 + across] = True
    mask = mask if axis == 0 else mask.T
    geometry = vessel_geometry(mask)
    middle = geometry.width[:, 20:40] if axis == 0 else geometry.width[20:40]
    np.testing.assert_array_equal(middle, across)


def test_distance_to_the_skeleton_of_an_odd_bar_is_that_to_its_middle_row():
    mask = np.zeros((30, 60), dtype=bool)
    mask[10:15] = True
    geometry = vessel_geometry(mask)
    np.testing.assert_array_equal(np.flatnonzero(geometry.skeleton[:, 30]), [12])
    np.testing.assert_array_equal(geometry.distance[:, 30], np.abs(np.arange(30) - 12))


def test_each_pixel_takes_the_width_of_the_nearest_vessel():
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:8] = mask[25:32] = True
    width = vessel_geometry(mask).width
    assert (width[5:8, 30] == 3).all()
    assert (width[25:32, 30] == 7).all()
    assert width[10, 30] == 3
    assert width[22, 30] == 7


@pytest.mark.parametrize("mask", [np.zeros((8, 8)), np.ones((8, 8))])
def test_a_mask_without_an_edge_is_refused(mask):
    with pytest.raises(UserError, match="both vessel and other pixels"):
        vessel_geometry(mask)


def test_medians_by_whole_number_leave_out_places_with_few_entries():
    first = np.array([1.2, 0.9, 1.4, 2.0, 2.1, 3.0, 2.3])
    second = np.array([10.0, 30.0, 20.0, 5.0, 7.0, 100.0, np.nan])
    places, values = medians(first, second, fewest=2)
    np.testing.assert_array_equal(places, [1, 2])
    np.testing.assert_array_equal(values, [20, 6])
