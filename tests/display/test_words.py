import pytest

from core.display.words import ordinal, same_precision

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.2, 0.41234, NAN, -0.3], ["0.200", "0.412", "–", "−0.300"]),
        ([1234.5, 1.2], ["1,234", "1"]),
        ([99.96, -0.04], ["100.0", "0.0"]),
        ([1.5e-5, 2e-6], ["1.50·10⁻⁵", "0.20·10⁻⁵"]),
        ([0.0, 0.0], ["0", "0"]),
        ([NAN], ["–"]),
    ],
)
def test_a_column_has_one_precision(values, expected):
    assert same_precision(values) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd"), (112, "112th")]
)
def test_ordinals(count, expected):
    assert ordinal(count) == expected
