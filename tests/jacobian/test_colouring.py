import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.jacobian.colouring import colour_intervals, plan_passes
from core.receptive_field.support import AxisSupport, ReceptiveField


def vessel_network(length: int) -> AxisSupport:
    """The intervals of CustomResNet, worked out by hand."""
    position = np.arange(length)
    block = position // 16
    first = np.where(position % 16 == 0, position - 62, 16 * block - 46)
    return AxisSupport(np.maximum(first, 0), np.minimum(16 * block + 62, length - 1))


def shallow_unet(length: int) -> AxisSupport:
    """Of a depth-1 U-Net: 18 wide, in blocks of 2."""
    block = np.arange(length) // 2
    return AxisSupport(np.maximum(2 * block - 8, 0), np.minimum(2 * block + 9, length - 1))


def square(axis: AxisSupport) -> ReceptiveField:
    return ReceptiveField(axis, axis)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_colours_are_disjoint_and_as_few_as_intervals_overlap(intervals):
    first = np.array([start for start, _ in intervals])
    last = np.array([start + length for start, length in intervals])
    colours = colour_intervals(AxisSupport(first, last), np.arange(len(first)))
    assert sorted(np.concatenate(colours)) == list(range(len(first)))
    for colour in colours:
        assert (first[colour][1:] > last[colour][:-1]).all()
    deepest = max(int(((first <= point) & (point <= last)).sum()) for point in range(43))
    assert len(colours) == deepest


@pytest.mark.parametrize(
    ("field", "passes"),
    [
        (square(vessel_network(64)), 64**2),
        (square(vessel_network(128)), 113**2),
        (square(vessel_network(256)), 113**2),
        (square(vessel_network(512)), 113**2),
        (ReceptiveField(vessel_network(512), vessel_network(48)), 113 * 48),
        (square(shallow_unet(256)), 18**2),
        (ReceptiveField.whole((9, 7)), 63),
    ],
)
def test_number_of_passes(field, passes):
    """113 residues an axis for CustomResNet, 18 for a depth-1 U-Net: the least there can be."""
    assert len(plan_passes(field)) == passes


def check_plan(plan):
    """Every selected pixel is in exactly one pass, and the windows of a pass do not meet."""
    count = np.zeros(plan.size, int)
    for index in range(len(plan)):
        covered = np.zeros(plan.size, int)
        outputs = plan.outputs(index)
        assert outputs.any()
        count += outputs.astype(int)
        for row, column in np.argwhere(outputs):
            covered[plan.field.window(row, column)] += 1
            assert plan.pass_of_pixel[row, column] == index
        assert covered.max() == 1
    np.testing.assert_array_equal(count, plan.selected)
    np.testing.assert_array_equal(plan.pass_of_pixel >= 0, plan.selected)


@pytest.mark.parametrize("stride", [1, 3])
def test_every_pixel_is_computed_once(stride):
    field = ReceptiveField(shallow_unet(41), shallow_unet(30))
    plan = plan_passes(field, stride)
    check_plan(plan)
    assert plan.num_pixels == len(range(0, 41, stride)) * len(range(0, 30, stride))


def test_a_region_of_any_form():
    field = ReceptiveField(shallow_unet(41), shallow_unet(30))
    region = np.random.default_rng(0).random((41, 30)) < 0.1
    plan = plan_passes(field, 1, region)
    check_plan(plan)
    np.testing.assert_array_equal(plan.selected, region)
    corner = np.zeros((41, 30), dtype=bool)
    corner[30:, 25:] = True
    check_plan(plan_passes(field, 1, corner))


@pytest.mark.parametrize("length", [64, 256])
def test_the_whole_image_shows_first_on_coarse_grids(length):
    """The grid of stride 8 is done after 1/57 of the passes (1/64 where nothing is shared), then those of 4 and 2."""
    plan = plan_passes(square(vessel_network(length)))
    done_after = plan.pass_of_pixel
    for stride, colours_an_axis in ((8, 15), (4, 29), (2, 57)) if length == 256 else ((8, 8), (4, 16), (2, 32)):
        assert done_after[::stride, ::stride].max() < colours_an_axis**2


def test_few_passes_cover_the_whole_image_evenly_anyway():
    """Where coarse grids would cost more passes, 1/64 of the passes still has a pixel near every pixel."""
    plan = plan_passes(square(shallow_unet(256)))
    done = plan.pass_of_pixel < len(plan) / 64
    near = [
        done[row : row + 32, column : column + 32].any() for row in range(0, 256, 32) for column in range(0, 256, 32)
    ]
    assert all(near)
