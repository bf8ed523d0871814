"""Retina phantoms: where the truth says things lie, the picture must show them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from phantoms import fundus_phantom
from phantoms.arcades import Eye, grow_arcades

EYE = Eye(np.array([127.5, 127.5]), 124.0, np.array([125.0, 45.0]), 17.0, np.array([130.0, 130.0]))


@pytest.fixture(scope="module")
def phantoms():
    return [fundus_phantom(seed) for seed in range(6)]


def around(phantom, place, radius):
    rows, columns = np.indices(phantom.mask.shape)
    return np.hypot(rows - place[0], columns - place[1]) < radius


def test_same_seed_same_bytes_other_seed_other_image():
    first, again, other = fundus_phantom(3), fundus_phantom(3), fundus_phantom(4)
    for name in ("image", "mask"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
        assert getattr(first, name).tobytes() != getattr(other, name).tobytes()


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**9), height=st.integers(96, 180), width=st.integers(96, 180))
def test_types_shapes_and_ranges(seed, height, width):
    phantom = fundus_phantom(seed, (height, width))
    assert phantom.image.shape == (3, height, width)
    assert phantom.image.dtype == np.float32
    assert phantom.mask.dtype == np.uint8
    assert np.isfinite(phantom.image).all()
    assert 0 <= phantom.image.min() <= phantom.image.max() <= 1
    assert set(np.unique(phantom.mask)) == {0, 1}
    for row, column in (phantom.landmarks["disc"], phantom.landmarks["fovea"]):
        assert 0 < row < height
        assert 0 < column < width


def test_a_picture_too_small_for_an_eye_is_refused():
    with pytest.raises(ValueError, match="96 x 96"):
        fundus_phantom(0, (95, 200))


def test_outside_the_field_of_view_it_is_dark_and_without_vessels(phantoms):
    for phantom in phantoms:
        for corner in ((0, 0), (0, 240), (240, 0), (240, 240)):
            window = np.s_[corner[0] : corner[0] + 16, corner[1] : corner[1] + 16]
            assert phantom.image[(slice(None), *window)].mean() < 0.05
            assert not phantom.mask[window].any()


def test_the_disc_is_bright_the_fovea_dark_and_red_leads(phantoms):
    for phantom in phantoms:
        field = around(phantom, (127.5, 127.5), 100) & (phantom.mask == 0)
        green = phantom.image[1]
        usual = np.median(green[field])
        assert green[around(phantom, phantom.landmarks["disc"], 8)].max() > 1.3 * usual
        assert np.median(green[around(phantom, phantom.landmarks["fovea"], 6)]) < 0.9 * usual
        red, green, blue = (float(channel[field].mean()) for channel in phantom.image)
        assert red > green > blue


def test_a_vessel_is_darker_than_the_tissue_beside_it(phantoms):
    for phantom in phantoms:
        inside = phantom.mask > 0
        beside = ndimage.binary_dilation(inside, iterations=4) & ~ndimage.binary_dilation(inside, iterations=2)
        field = around(phantom, (127.5, 127.5), 110) & ~around(phantom, phantom.landmarks["disc"], 25)
        assert phantom.image[1][inside & field].mean() < 0.85 * phantom.image[1][beside & field].mean()


def test_vessels_meet_at_the_disc_and_spare_the_fovea(phantoms):
    for phantom in phantoms:
        assert phantom.mask[around(phantom, phantom.landmarks["disc"], 10)].mean() > 0.3
        assert not phantom.mask[around(phantom, phantom.landmarks["fovea"], 12)].any()


@pytest.mark.parametrize("seed", range(4))
def test_trunks_leave_the_disc_and_every_branch_starts_on_a_thicker_vessel(seed):
    vessels = grow_arcades(np.random.default_rng(seed), EYE, (256, 256))
    for index, vessel in enumerate(vessels):
        start = vessel.points[0]
        if np.hypot(*(start - EYE.disc)) < EYE.disc_radius:
            continue
        gaps = [
            (float(np.hypot(*(other.points - start).T).min()), float(other.radius.max()))
            for other in vessels[:index]
            if other.artery == vessel.artery
        ]
        assert any(gap < 1e-6 and radius >= vessel.radius[0] - 1e-9 for gap, radius in gaps)


@pytest.mark.parametrize("seed", range(4))
def test_veins_are_wider_than_arteries_and_both_taper(seed):
    trunks = [v for v in grow_arcades(np.random.default_rng(seed), EYE, (256, 256)) if len(v.points) > 100]
    widest = {kind: max(v.radius[0] for v in trunks if v.artery == kind) for kind in (True, False)}
    assert widest[False] > widest[True]
    assert all(v.radius[-1] < v.radius[0] for v in trunks)


@pytest.mark.parametrize("seed", range(4))
def test_vessels_of_one_kind_do_not_cross(seed):
    """Away from the disc and from their own start and end, no point lies on another vessel of the kind."""
    vessels = grow_arcades(np.random.default_rng(seed), EYE, (256, 256))
    for kind in (True, False):
        lines = [v.points[12:-12] for v in vessels if v.artery == kind and len(v.points) > 40]
        for number, line in enumerate(lines):
            for other in lines[number + 1 :]:
                gaps = np.hypot(*(line[:, None] - other[None]).transpose(2, 0, 1))
                away = np.hypot(*(line - EYE.disc).T) > 2 * EYE.disc_radius
                assert not away.any() or gaps[away].min() > 0.5
