import numpy as np
import pytest
import torch

from core.errors import UserError
from core.trust import PerturbedRuns, RemovalSettings, road
from core.trust.imputation import imputed
from tests.trust.networks import Constant, PixelIsLogit, Squares, segmenter_of, whole


def filled(image: np.ndarray, missing: np.ndarray, noise: float = 0.01) -> np.ndarray:
    """One copy of an image."""
    return filled_copies(image, missing[None], noise)[0]


def filled_copies(image: np.ndarray, missing: np.ndarray, noise: float) -> np.ndarray:
    draws = torch.from_numpy(np.random.default_rng(0).standard_normal((len(missing), *image.shape), np.float32))
    return imputed(torch.from_numpy(image), torch.from_numpy(missing), noise * draws).numpy()


def solved_densely(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The same system, written down pixel by pixel."""
    height, width = image.shape
    system, right = np.eye(height * width), image.astype(float).ravel().copy()
    for row, column in zip(*np.nonzero(missing), strict=True):
        here = row * width + column
        system[here, here] = right[here] = 0
        for down in (-1, 0, 1):
            for over in (-1, 0, 1):
                there = row + down, column + over
                if (down, over) != (0, 0) and 0 <= there[0] < height and 0 <= there[1] < width:
                    weight = 1 / 6 if 0 in (down, over) else 1 / 12
                    system[here, here] += weight
                    system[here, there[0] * width + there[1]] -= weight
    return np.linalg.solve(system, right).reshape(height, width)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_missing_pixels_solve_the_linear_system(share):
    generator = np.random.default_rng(0)
    image = generator.random((2, 9, 12)).astype(np.float32)
    missing = generator.random((9, 12)) < share
    found = filled(image, missing, noise=0)
    exact = np.stack([solved_densely(channel, missing) for channel in image])
    assert np.abs(found - exact).max() < 5e-3, "half of the noise that is usually added"
    assert np.abs(found - exact).mean() < 1e-3
    np.testing.assert_array_equal(found[:, ~missing], image[:, ~missing])


def test_a_ramp_comes_back_where_it_is_surrounded():
    ramp = np.add.outer(np.arange(12.0), 2 * np.arange(10.0))[None].astype(np.float32) / 30
    missing = np.zeros((12, 10), bool)
    missing[3:8, 2:7] = True
    np.testing.assert_allclose(filled(ramp, missing, noise=0), ramp, atol=5e-3)


def test_the_noise_is_on_missing_pixels_only_and_seeded():
    image = np.full((1, 64, 64), 0.5, np.float32)
    missing = np.random.default_rng(1).random((64, 64)) < 0.5
    found = filled(image, missing, 0.01)
    np.testing.assert_array_equal(found[:, ~missing], 0.5)
    assert found[:, missing].std() == pytest.approx(0.01, rel=0.1)
    np.testing.assert_array_equal(found, filled(image, missing, 0.01))
    np.testing.assert_array_equal(filled(image, np.zeros((64, 64), bool)), image)
    with pytest.raises(UserError, match="nothing to impute"):
        filled(image, np.ones((64, 64), bool))


def test_road_follows_the_ranking():
    image = np.random.default_rng(2).random((1, 12, 12), np.float32)
    segmenter, target = segmenter_of(PixelIsLogit()), whole(12, 12)
    ways = RemovalSettings(batch_size=2)
    best, worst = (road(PerturbedRuns(segmenter, image, target, ways), sign * image[0]).auc for sign in (1, -1))
    assert best < worst
    flat = road(PerturbedRuns(segmenter_of(Constant()), image, target), image[0])
    np.testing.assert_array_equal(flat.scores, 144 * 1.5)
    np.testing.assert_allclose(flat.fractions, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9], atol=0.01)


def test_road_does_not_depend_on_the_batch_size():
    image = np.random.default_rng(2).random((1, 12, 12), np.float32)
    one, many = (
        road(PerturbedRuns(segmenter_of(Squares()), image, whole(12, 12), RemovalSettings(batch_size=size)), image[0])
        for size in (1, 9)
    )
    np.testing.assert_allclose(one.scores, many.scores, rtol=1e-5)


@pytest.mark.parametrize("fractions", [(), (0.5, 0.2), (0.0, 0.5), (0.5, 1.0), (0.2, 0.2)])
def test_fractions_without_sense_are_refused(fractions):
    image = np.zeros((1, 6, 6), np.float32)
    with pytest.raises(UserError, match="rise between 0 and 1"):
        road(PerturbedRuns(segmenter_of(PixelIsLogit()), image, whole(6, 6)), image[0], fractions)


def test_several_copies_are_each_as_alone():
    generator = np.random.default_rng(0)
    image = generator.random((3, 33, 20)).astype(np.float32)
    missing = generator.random((4, 33, 20)) < np.array([0, 0.2, 0.6, 0.97])[:, None, None]
    together = filled_copies(image, missing, noise=0)
    for copy, holes in zip(together, missing, strict=True):
        np.testing.assert_allclose(copy, filled(image, holes, noise=0), atol=5e-3)


def test_a_large_hole_is_filled_smoothly():
    image = np.random.default_rng(0).random((1, 48, 48)).astype(np.float32)
    missing = np.zeros((48, 48), bool)
    missing[8:40, 8:40] = True
    found, exact = filled(image, missing, noise=0)[0], solved_densely(image[0], missing)
    assert np.abs(found - exact).max() < 0.03
    assert np.abs(found - exact).mean() < 0.01


def test_road_of_an_image_that_is_too_small_is_not_defined():
    image = np.random.default_rng(0).random((1, 1, 2), np.float32)
    assert np.isnan(road(PerturbedRuns(segmenter_of(PixelIsLogit()), image, whole(1, 2)), image[0]).auc)
