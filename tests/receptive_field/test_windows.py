"""Where crops lie, worked out by hand, and for which networks they are proven."""

import numpy as np
import pytest
import torch
from torch import nn

from core.receptive_field import AxisSupport, ReceptiveField, structural_support
from core.receptive_field.window_proof import proven_windows
from core.receptive_field.windows import Windows
from core.segmenter import Canvas, Segmenter
from tests.receptive_field.networks import WITH_WINDOWS, WITHOUT_WINDOWS, Positioned


def _reach_of_three(length: int) -> AxisSupport:
    positions = np.arange(length)
    return AxisSupport(np.maximum(positions - 3, 0), np.minimum(positions + 3, length - 1))


FIELD = ReceptiveField(_reach_of_three(61), _reach_of_three(47))
PADDED = Windows(FIELD, Canvas(64, 48), 8)
CENTRED = Windows(FIELD, Canvas(64, 48, 2, 1), 8)


def _pixel(row: int, column: int) -> tuple[slice, slice]:
    return slice(row, row + 1), slice(column, column + 1)


def test_a_crop_in_the_middle_begins_and_ends_at_multiples():
    crop = PADDED.crop(_pixel(20, 30))
    assert crop.inputs == (slice(17, 24), slice(27, 34))
    assert crop.area == (slice(16, 24), slice(24, 40))
    assert crop.canvas == Canvas(8, 16)
    assert crop.outputs == (slice(4, 5), slice(6, 7))
    assert crop.inputs_in_area == (slice(1, 8), slice(3, 10))


def test_crops_at_the_borders_hold_what_the_canvas_adds_there():
    crop = PADDED.crop(_pixel(60, 46))
    assert crop.area == (slice(56, 61), slice(40, 47))
    assert crop.canvas == Canvas(8, 8)
    crop = CENTRED.crop(_pixel(0, 46))  # the canvas begins 2 rows and 1 column before the image
    assert crop.area == (slice(0, 6), slice(39, 47))
    assert crop.canvas == Canvas(8, 8, 2, 0)
    assert crop.outputs == (slice(0, 1), slice(6, 7))  # without a border, scores begin where the canvas begins


def test_a_crop_that_begins_inside_what_the_canvas_adds():
    crop = Windows(FIELD, Canvas(100, 64, 19, 0), 8).crop(_pixel(20, 20))
    assert crop.area == (slice(0, 29), slice(16, 24))
    assert crop.canvas == Canvas(32, 8, 3, 0)  # it begins at the canvas's row 16, three before the image
    assert crop.inputs_in_area == (slice(17, 24), slice(1, 8))
    assert crop.outputs == (slice(4, 5), slice(4, 5))


def test_a_crop_as_large_as_the_image_is_none():
    assert PADDED.crop((slice(0, 61), slice(0, 47))) is None
    assert Windows(FIELD, Canvas(64, 48), 32).crop(_pixel(30, 31)) is None


def test_what_an_input_reaches():
    assert PADDED.reached(20, 0) == (slice(17, 24), slice(0, 4))
    strided = AxisSupport(*(np.array([0, 0, 2, 2]),) * 2)  # each pair of outputs looks at its first input
    windows = Windows(ReceptiveField(strided, strided), Canvas(4, 4), 2)
    assert windows.reached(2, 0) == (slice(2, 4), slice(0, 2))
    assert windows.reached(1, 0) is None


@pytest.mark.parametrize("name", WITH_WINDOWS)
def test_windows_are_proven(name):
    make, size = WITH_WINDOWS[name]
    segmenter = make()
    windows = proven_windows(segmenter, structural_support(segmenter, size))
    assert windows is not None
    assert windows.alignment == (18 if name == "stride three" else 16)


@pytest.mark.parametrize("name", WITHOUT_WINDOWS)
def test_windows_are_refused(name):
    make, size = WITHOUT_WINDOWS[name]
    segmenter = make()
    assert proven_windows(segmenter, structural_support(segmenter, size)) is None


class Blocks(nn.Module):
    """What a pixel does depends on which row of blocks it is in: the parity of its block of 16 pixels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        parity = torch.arange(images.shape[-2], dtype=images.dtype)[:, None].div(16, rounding_mode="floor") % 2
        return torch.cat((images, images * (1 + parity)), dim=1)


def test_a_stride_that_the_field_does_not_show_coarsens_the_alignment():
    segmenter = Segmenter(Blocks(), in_channels=1)
    windows = proven_windows(segmenter, structural_support(segmenter, (96, 80)))
    assert windows.alignment == 32


class OnlyFloat32(Positioned):
    """It refuses float64, so that the proof is made in float32."""

    def __init__(self, *, is_local: bool) -> None:
        super().__init__()
        self.is_local = is_local

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype != torch.float32:
            raise TypeError("float32 only")
        return torch.tanh(self.encode(images)) if self.is_local else super().forward(images)


@pytest.mark.parametrize("is_local", [True, False])
def test_networks_of_float32_alone(is_local):
    segmenter = Segmenter(OnlyFloat32(is_local=is_local), in_channels=1)
    windows = proven_windows(segmenter, structural_support(segmenter, (64, 96)))
    assert (windows is not None) == is_local


def test_the_proof_leaves_the_network_as_it_is():
    make, size = WITH_WINDOWS["dilated"]
    segmenter = make()
    field, identity = structural_support(segmenter, size), segmenter.weights_hash
    proven_windows(segmenter, field)
    assert segmenter.weights_hash == identity
    assert {parameter.dtype for parameter in segmenter.module.parameters()} == {torch.float32}
