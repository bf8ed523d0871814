import numpy as np

from core.display.colours import colour_limit, magnitude_scale
from core.jacobian.map_pictures import decades, filled, map_over

NAN = np.nan


def test_unknown_pixels_take_the_nearest_known_value():
    values = np.full((1, 9), NAN, np.float32)
    values[0, 0], values[0, 8] = 3, 7
    np.testing.assert_array_equal(filled(values)[0, [0, 1, 2, 3, 5, 6, 7, 8]], [3, 3, 3, 3, 7, 7, 7, 7])


def test_a_known_nan_stays_and_spreads():
    values = np.array([[NAN, NAN, 5.0, NAN]], np.float32)
    known = np.array([[True, False, True, False]])
    result = filled(values, known)[0]
    assert np.isnan(result[0])
    assert result[2] == result[3] == 5


def test_nothing_known_and_everything_known_stay_as_they_are():
    nothing, everything = np.full((2, 2), NAN), np.arange(4.0).reshape(2, 2)
    assert np.isnan(filled(nothing)).all()
    assert filled(everything) is everything


def test_where_the_map_is_silent_the_image_shines_through_darker():
    base = np.full((1, 2, 3), 200, np.uint8)
    picture = map_over(base, np.array([[4.0, NAN]]), 4.0)
    np.testing.assert_array_equal(picture[0, 0], magnitude_scale(1.0).rgb(np.array([[1.0]]))[0, 0])
    np.testing.assert_array_equal(picture[0, 1], [70, 70, 70])


def test_largest_is_a_limit_that_can_be_divided_by():
    assert colour_limit(np.array([NAN, 2.0, 0.5])) == 2
    assert colour_limit(np.array([NAN, 0.0])) == 1
    assert colour_limit(np.array([NAN])) == 1


def test_decades_count_tenths_of_the_peak():
    np.testing.assert_allclose(decades(np.array([50.0, 5.0, 0.05, 0.0]), 3), [0, -1, -3, -3], atol=1e-6)
    np.testing.assert_array_equal(decades(np.zeros(2)), [-4, -4])


def test_a_few_bright_pixels_do_not_set_the_colour_limit():
    values = np.arange(101.0)
    values[-1] = 1e6
    assert colour_limit(values, percentile=99) == 99
    assert colour_limit(np.array([0.0] * 200 + [7.0, NAN]), percentile=99) == 7
    assert colour_limit(np.array([NAN]), percentile=99) == 1
