"""Street phantoms: the camera's geometry on paper, and classes where a street has them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantoms import SCENE_CLASSES, scene_phantom
from phantoms.street_view import (
    BUILDING,
    CAR,
    FAR,
    ROAD,
    SKY,
    Camera,
    Canvas,
    ground_quad,
    upright_quad,
)

CAMERA = Camera(focal=100.0, height=1.5, horizon=30.0, vanishing=60.0)


@pytest.fixture(scope="module")
def phantoms():
    return [scene_phantom(seed) for seed in range(6)]


def canvas() -> Canvas:
    made = Canvas(np.random.default_rng(0), CAMERA, (64, 120), np.array([0.8, 0.8, 0.9]))
    made.labels[:] = SKY
    return made


def test_the_class_constants_are_the_names_in_order():
    assert [SCENE_CLASSES[index] for index in (ROAD, BUILDING, SKY, CAR)] == ["road", "building", "sky", "car"]
    assert len(SCENE_CLASSES) == 8


def test_projection_by_hand():
    assert CAMERA.project((0.0, 1.5, 7.0)) == (30.0, 60.0)  # eye level is the horizon at any distance
    assert CAMERA.project((0.0, 0.0, 10.0)) == pytest.approx((45.0, 60.0))  # 100 · 1.5 / 10 below it
    assert CAMERA.project((2.0, 3.5, 20.0)) == pytest.approx((20.0, 70.0))


def test_a_painted_square_has_exactly_the_pixels_whose_centres_it_holds():
    made = canvas()
    # At 10 m one metre is 10 pixels: columns 50.2 to 70.6 and rows 25.4 to 44.7.
    made.paint(upright_quad(-0.98, 1.06, 0.03, 1.96, 10.0), np.array([1.0, 0.0, 0.0]), CAR)
    _, mask = made.picture(visibility=1e9)
    expected = np.full((64, 120), SKY)
    expected[26:45, 51:71] = CAR
    np.testing.assert_array_equal(mask, expected)


def test_a_pixels_colour_is_the_mean_over_its_area():
    made = canvas()
    made.paint(upright_quad(-1.0, 1.0, 0.5, 1.5, 10.0), np.array([1.0, 0.5, 0.0]), CAR)
    image, _ = made.picture(visibility=1e9)
    assert image[0].sum() == pytest.approx(20 * 10, rel=0.08)
    np.testing.assert_allclose(image[1], image[0] / 2)


def test_the_ground_vanishes_at_the_horizon_and_a_shadow_changes_no_class():
    made = canvas()
    made.paint(ground_quad(-300.0, 300.0, 1.3, FAR), np.array([0.4, 0.4, 0.4]), ROAD)
    before = made.labels.copy()
    made.darken(ground_quad(-1.0, 1.0, 3.0, 5.0), 0.5)
    image, mask = made.picture(visibility=1e9)
    np.testing.assert_array_equal(made.labels, before)
    assert (mask[:30] == SKY).all()
    assert (mask[32:] == ROAD).all()
    assert image[0, 64 - 20, 60] == pytest.approx(0.4)  # 10.7 m ahead
    assert image[0, 30 + 38 - 6, 60] == pytest.approx(0.2)  # 4.7 m ahead


def test_haze_follows_its_exponential():
    made = canvas()
    made.paint(upright_quad(-9.0, 9.0, 0.0, 3.0, 50.0), np.zeros(3), BUILDING)
    image, _ = made.picture(visibility=100.0)
    np.testing.assert_allclose(image[:, 30, 60], np.array([0.8, 0.8, 0.9]) * (1 - np.exp(-0.5)))


def test_same_seed_same_bytes_other_seed_other_image():
    first, again, other = scene_phantom(3), scene_phantom(3), scene_phantom(4)
    for name in ("image", "mask"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
        assert getattr(first, name).tobytes() != getattr(other, name).tobytes()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**9), height=st.integers(64, 100), width=st.integers(64, 140))
def test_types_shapes_and_ranges(seed, height, width):
    phantom = scene_phantom(seed, (height, width))
    assert phantom.image.shape == (3, height, width)
    assert phantom.image.dtype == np.float32
    assert phantom.mask.shape == (height, width)
    assert phantom.mask.dtype == np.uint8
    assert np.isfinite(phantom.image).all()
    assert 0 <= phantom.image.min() <= phantom.image.max() <= 1
    assert phantom.mask.max() < len(SCENE_CLASSES)


def test_a_picture_too_small_for_a_street_is_refused():
    with pytest.raises(ValueError, match="64 x 64"):
        scene_phantom(0, (63, 256))


def test_sky_is_above_and_road_below(phantoms):
    shares = {name: [] for name in SCENE_CLASSES}
    for phantom in phantoms:
        rows = np.nonzero(phantom.mask == SCENE_CLASSES.index("sky"))[0]
        assert rows.max() < 0.55 * 128
        assert (phantom.mask[-1] == ROAD).mean() > 0.25
        for index, name in enumerate(SCENE_CLASSES):
            shares[name].append((phantom.mask == index).mean())
    assert all(np.mean(values) > 0.002 for values in shares.values())


def test_vegetation_is_green_and_the_sky_brighter_than_the_road(phantoms):
    image, mask = np.stack([p.image for p in phantoms], axis=1), np.stack([p.mask for p in phantoms])
    vegetation, sky, road = (image[:, mask == SCENE_CLASSES.index(name)] for name in ("vegetation", "sky", "road"))
    assert vegetation[1].mean() > 1.2 * vegetation[2].mean()
    assert vegetation[1].mean() > vegetation[0].mean()
    assert sky.mean() > road.mean()
