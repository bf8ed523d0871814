import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max

from core.attribution import integrated_gradients
from core.errors import UserError
from core.target import Target
from core.trust import (
    PerturbedRuns,
    RemovalSettings,
    infidelity,
    max_sensitivity,
    sample_removals,
    sensitivity_n,
)
from core.trust.removals import Removals
from tests.trust.networks import Constant, PixelIsLogit, Squares, segmenter_of, whole

IMAGE = np.random.default_rng(3).random((1, 10, 11), np.float32)
BLACK = RemovalSettings(fill="zero")


def runs_of(module, target=None, ways=BLACK) -> PerturbedRuns:
    return PerturbedRuns(segmenter_of(module), IMAGE, target or whole(10, 11), ways)


@pytest.mark.parametrize("cell", [1, 3])
def test_a_map_that_is_the_truth_is_perfect(cell):
    removals = sample_removals(runs_of(PixelIsLogit()), (0.1, 0.5), 20, cell)
    assert infidelity(IMAGE[0], removals) == pytest.approx(0, abs=1e-9)
    assert infidelity(IMAGE[0], removals, scaled=True) == pytest.approx(0, abs=1e-9)
    assert sensitivity_n(IMAGE[0], removals) == pytest.approx(1, abs=1e-5)
    assert sensitivity_n(-IMAGE[0], removals) == pytest.approx(-1, abs=1e-5)


def test_a_map_of_zeros_says_nothing():
    removals = sample_removals(runs_of(PixelIsLogit()), (0.1, 0.5), 20, 2)
    assert infidelity(np.zeros((10, 11)), removals) == pytest.approx(float(np.mean(removals.drops**2)))
    assert infidelity(np.zeros((10, 11)), removals, scaled=True) == pytest.approx(1)
    assert np.isnan(sensitivity_n(np.zeros((10, 11)), removals))


def test_the_scaled_infidelity_knows_no_unit():
    removals = sample_removals(runs_of(Squares()), (0.1, 0.5), 20, 2)
    drops = np.random.default_rng(0).random((10, 11))
    expected = infidelity(drops, removals, scaled=True)
    assert 0 < expected <= 1
    assert infidelity(1e6 * drops + 3, removals, scaled=True) == pytest.approx(expected)
    assert infidelity(
        -IMAGE[0], sample_removals(runs_of(PixelIsLogit()), (0.1, 0.5), 20, 2), scaled=True
    ) == pytest.approx(1)


def test_a_map_that_is_the_same_everywhere_is_the_measure_of_the_scaled_infidelity():
    removals = sample_removals(runs_of(PixelIsLogit()), (0.1, 0.5), 40, 2)
    assert infidelity(np.full((10, 11), 0.3), removals, scaled=True) == pytest.approx(1)
    # By hand: sizes (1, 1, 1), drops (1, 3, 2); without their mean (-1, 1, 0), and a map that says (1, 2, 3), without
    # its own (-1, 0, 1), leaves with the factor 1/2 (-1/2, 1, -1/2): 1.5 of 2.
    three = Removals(np.eye(3, dtype=bool)[:, None], 1, np.ones((1, 3), bool), np.full(3, 1 / 3), np.array([1.0, 3, 2]))
    assert infidelity(np.array([[1.0, 2.0, 3.0]]), three, scaled=True) == pytest.approx(0.75)
    assert sensitivity_n(np.array([[1.0, 2.0, 3.0]]), three) == pytest.approx(0.5)


@pytest.mark.parametrize("ways", [BLACK, RemovalSettings(fill="zero", context_only=True)])
def test_a_map_that_is_the_same_everywhere_says_nothing_though_cells_are_unequal(ways):
    mask = np.zeros((10, 11), bool)
    mask[2:5, 2:7] = True
    removals = sample_removals(runs_of(Squares(), Target.region(mask, 1, "logit"), ways), n_subsets=40, cell=4)
    assert np.isnan(sensitivity_n(np.full((10, 11), 0.7), removals))
    assert infidelity(np.full((10, 11), 0.7), removals, scaled=True) == pytest.approx(1)


def test_nothing_happens_to_a_constant_network():
    removals = sample_removals(runs_of(Constant()), (0.1, 0.5), 8)
    np.testing.assert_array_equal(removals.drops, 0)
    assert np.isnan(infidelity(IMAGE[0], removals, scaled=True))
    assert np.isnan(sensitivity_n(IMAGE[0], removals))


def test_infidelity_to_the_baseline_is_the_squared_convergence_delta():
    segmenter, target = segmenter_of(Squares()), Target.pixel(4, 4, 1, "probability")
    attribution = integrated_gradients(segmenter, IMAGE, target, "mean", 2, "left")
    assert attribution.convergence_delta is not None
    assert abs(attribution.convergence_delta) > 1e-4
    everything = sample_removals(runs_of(Squares(), target, RemovalSettings(fill="mean")), (1.0,), 1)
    found = infidelity(attribution.signed_map(), everything)
    assert found == pytest.approx(attribution.convergence_delta**2, rel=1e-3)


def test_equal_to_captum_on_the_same_sets():
    runs = runs_of(Squares())
    removals = sample_removals(runs, (0.2, 0.6), 10, 2)
    gone = np.repeat(np.repeat(removals.subsets, 2, 1), 2, 2)[:, :10, :11]
    drops = np.random.default_rng(0).random((10, 11))

    def perturb(_inputs):
        changed = torch.from_numpy(np.where(gone[:, None], 0, IMAGE)).float()
        return torch.from_numpy(gone[:, None].astype(np.float32)), changed

    def forward(images):
        return runs.target(runs.segmenter.logits(images))

    ours = infidelity(drops, removals)
    theirs = captum_infidelity(
        forward,
        perturb,
        torch.from_numpy(IMAGE)[None],
        torch.from_numpy(drops)[None, None].float(),
        n_perturb_samples=10,
    )
    assert ours == pytest.approx(float(theirs), rel=1e-4)


def test_the_batch_size_changes_nothing():
    one, many = (
        sample_removals(runs_of(Squares(), ways=RemovalSettings(batch_size=size)), n_subsets=12, cell=3)
        for size in (1, 12)
    )
    np.testing.assert_array_equal(one.subsets, many.subsets)
    np.testing.assert_allclose(one.drops, many.drops, atol=1e-5)


def test_only_what_may_go_goes():
    mask = np.zeros((10, 11), bool)
    mask[:4] = True
    ways = RemovalSettings(fill="zero", context_only=True)
    runs = runs_of(PixelIsLogit(), Target.region(mask, 1, "logit"), ways)
    np.testing.assert_allclose(sample_removals(runs, (0.5, 1.0), 6, 3).drops, 0, atol=1e-6)


@pytest.mark.parametrize("settings", [{"fractions": ()}, {"fractions": (0.0,)}, {"n_subsets": 1}, {"cell": 0}])
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(UserError):
        sample_removals(runs_of(PixelIsLogit()), **settings)


def test_max_sensitivity_is_captums_on_the_same_noise():
    radius, copies = 0.05, 4
    ours = max_sensitivity(IMAGE, IMAGE[0] ** 2, lambda image: image[0] ** 2, radius, copies, seed=7)
    generator = np.random.default_rng(7)
    noise = [generator.uniform(-radius, radius, IMAGE.shape).astype(np.float32) for _ in range(copies)]

    def perturb(_inputs, _radius):
        return torch.from_numpy(np.stack([IMAGE + draw for draw in noise]))

    def explain(inputs):
        return tuple(image**2 for image in inputs) if isinstance(inputs, tuple) else inputs**2

    theirs = sensitivity_max(explain, torch.from_numpy(IMAGE)[None], perturb, n_perturb_samples=copies)
    assert ours == pytest.approx(float(theirs), rel=1e-5)


def test_max_sensitivity_of_what_never_moves_is_zero_and_of_nothing_undefined():
    assert max_sensitivity(IMAGE, IMAGE[0], lambda _image: IMAGE[0]) == 0
    assert np.isnan(max_sensitivity(IMAGE, np.zeros((10, 11)), lambda _image: IMAGE[0]))
    with pytest.raises(UserError):
        max_sensitivity(IMAGE, IMAGE[0], lambda _image: IMAGE[0], n_copies=0)
