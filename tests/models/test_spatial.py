import pytest
import torch

from core.models.spatial import SpatialForm, spatial_form


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((1, 8, 3, 5), (12, 20), SpatialForm(3, 5, 8, 1)),
        ((1, 8, 3, 5), (100, 90), SpatialForm(3, 5, 8, 1)),  # fits no stride, as without padding
        ((1, 7, 9, 96), (27, 35), SpatialForm(7, 9, 96, -1)),
        ((1, 14 * 14, 64), (224, 224), SpatialForm(14, 14, 64, -1)),
        ((1, 14 * 14 + 1, 64), (224, 224), SpatialForm(14, 14, 64, -1, 1)),
        ((1, 8 * 16, 64), (128, 256), SpatialForm(8, 16, 64, -1)),
        ((1, 9 * 17, 64), (130, 260), SpatialForm(9, 17, 64, -1)),
        ((1, 13, 64), (224, 224), None),
        ((1, 64), (8, 8), None),
        ((64,), (8, 8), None),
        ((1, 2, 3, 4, 5), (8, 8), None),
    ],
)
def test_form(shape, size, expected):
    assert spatial_form(shape, size) == expected


def test_tokens_lie_row_by_row():
    tokens = torch.arange(7.0).view(1, 7, 1)
    form = spatial_form((1, 7, 1), (8, 12))
    assert form.as_map(tokens).tolist() == [[[[1, 2, 3], [4, 5, 6]]]]
