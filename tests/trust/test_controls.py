import numpy as np
import pytest
from scipy import ndimage

from core.target import Target
from core.trust import RemovalSettings, deletion
from core.trust.controls import CONTROLS, controls
from tests.trust.networks import PixelIsLogit, segmenter_of, whole

IMAGE = np.zeros((3, 40, 50), np.float32)
IMAGE[:, :, 25:] = 1
TARGET = Target.pixel(10, 5)


def test_they_are_maps_of_the_images_size():
    found = controls(IMAGE, TARGET)
    assert list(found) == list(CONTROLS)
    assert all(control.shape == (40, 50) and control.dtype == np.float32 for control in found.values())


def test_edges_are_where_the_image_changes():
    edges = controls(IMAGE, TARGET)["edges"]
    assert edges[:, [0, 10, 45]].max() == pytest.approx(0, abs=1e-6)
    assert set(edges.argmax(axis=1)) <= {24, 25}


def test_distance_is_to_the_targets_nearest_pixel():
    distance = controls(IMAGE, TARGET)["centre_distance"]
    assert distance[10, 5] == 1
    assert distance[13, 9] == pytest.approx(1 / 6)
    mask = np.zeros((40, 50), bool)
    mask[:, 20] = True
    region = controls(IMAGE, Target.region(mask))["centre_distance"]
    np.testing.assert_allclose(region[7], 1 / (1 + np.abs(np.arange(50.0) - 20)))
    assert not controls(IMAGE, Target.region(np.zeros((40, 50))))["centre_distance"].any()


def test_noise_is_seeded_and_the_blurred_kind_is_smooth():
    first, again, other = (controls(IMAGE, TARGET, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["random"], again["random"])
    assert (first["random"] != other["random"]).any()
    fill = RemovalSettings(fill="random", seed=1).fill_of(IMAGE)
    assert (first["random"] != fill[0]).mean() > 0.9, "noise of a fill of the same seed is another"
    smooth = first["blurred_random"]
    assert np.abs(np.diff(smooth)).max() < 0.2 * np.ptp(smooth)
    np.testing.assert_allclose(smooth, ndimage.gaussian_filter(first["random"], 8, mode="wrap"))


def test_the_random_control_lies_between_the_best_and_the_worst_ranking():
    image = np.random.default_rng(9).random((1, 20, 20), np.float32)
    segmenter, target = segmenter_of(PixelIsLogit()), whole(20, 20)
    best, random, worst = (
        deletion(segmenter, image, target, ranking).auc
        for ranking in (image[0], controls(image, target)["random"], -image[0])
    )
    assert best < random < worst
