"""The error of the map that Integrated Gradients report, against maps that are known."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core import Segmenter, Target, load_segmenter, read_image
from core.attribution import gradient, integrated_gradients
from core.attribution.path_integral import RULES
from tests.attribution.test_integrated_gradients import TwoInputs
from tests.networks import IMAGE_1_TO_9, TinySeg

TINY_EXACT = [[-7 / 9, -14 / 9, -7 / 3], [-28 / 9, 113 / 126, -179 / 21], [-49 / 9, -716 / 63, 157 / 14]]


def kink(x: float, **options):
    """Integrated Gradients of relu(first - 1) at (x, 0) from zero: the gradient switches from 0 to 1 at 1 / x."""
    segmenter = Segmenter(TwoInputs(lambda first, _: torch.relu(first - 1)), in_channels=1, size_multiple=1)
    image = torch.tensor([[[x, 0.0]]])
    return integrated_gradients(segmenter, image, Target.pixel(0, 0, 1, "logit"), **options)


def true_error(values: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(values - exact).sum() / np.abs(exact).sum())


def test_the_error_of_two_steps_on_paper():
    """Gradients 0 at 1/4 and 1 at 3/4: each half alone says 0 or 3, both together 1.5."""
    found = kink(3, n_steps=2, method="midpoint")
    assert found.values[0, 0, 0] == 1.5
    assert found.map_error == pytest.approx(1)
    assert found.map_error_percent == pytest.approx(100)


def test_the_error_of_three_automatic_steps_on_paper():
    """One step in the middle says 3, three say 2: half of that change of 1 is a quarter of 2."""
    found = kink(3, n_steps="auto", max_steps=3)
    assert found.values[0, 0, 0] == pytest.approx(2)
    assert found.convergence_delta == pytest.approx(0, abs=1e-6)
    assert found.map_error == pytest.approx(0.25)
    assert (found.measured["stopped"], found.measured["missed"]) == ("budget", "map")


def test_the_error_is_at_least_what_the_sum_tells():
    """Of four steps two are beyond the switch at 7/15, as in both halves, and yet the sum is off."""
    found = kink(15 / 7, n_steps=4, method="midpoint")
    assert found.map_error == pytest.approx(abs(found.convergence_delta) / np.abs(found.values).sum(), rel=1e-5)
    assert found.map_error > 0.05


def test_where_the_error_is_undefined():
    assert kink(3, n_steps=1).map_error is None
    assert np.isnan(kink(3, n_steps=1).map_error_percent)
    for n_steps in (4, "auto"):
        zero = kink(0.5, n_steps=n_steps)
        assert not zero.values.any()
        assert zero.map_error is None
        assert zero.measured["missed"] == ""
    other = gradient(Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Target.pixel(1, 1, 1, "logit"))
    assert other.map_error is None
    assert json.loads(json.dumps(other.manifest()))["map_error"] is None


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_network_has_no_error(rule):
    segmenter = Segmenter(nn.Conv2d(2, 3, 3, padding=1), in_channels=2)
    target = Target.region(np.ones((6, 7)), 2)
    for n_steps in (2, 7, "auto"):
        found = integrated_gradients(segmenter, torch.rand(2, 6, 7), target, "mean", n_steps, rule)
        assert found.map_error < 1e-4
        assert found.manifest()["map_error"] == found.map_error


@pytest.mark.parametrize("tolerance", [0.03, 0.01, 0.003])
def test_the_tolerance_holds_for_the_known_map_of_tiny_seg(tolerance):
    mask = np.eye(3, dtype=bool)
    mask[0, 0] = False
    found = integrated_gradients(
        Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Target.region(mask, 1), n_steps="auto", tolerance=tolerance
    )
    assert found.measured["stopped"] == "tolerance"
    assert true_error(found.values[0], np.array(TINY_EXACT)) <= tolerance


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_steps", [5, 12, 50, 200])
def test_a_fixed_rule_does_not_hide_the_error_on_tiny_seg(rule, n_steps):
    mask = np.eye(3, dtype=bool)
    mask[0, 0] = False
    found = integrated_gradients(
        Segmenter(TinySeg(), in_channels=1), IMAGE_1_TO_9, Target.region(mask, 1), n_steps=n_steps, method=rule
    )
    assert found.map_error >= true_error(found.values[0], np.array(TINY_EXACT)) / 3


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.02]), st.sampled_from(RULES), st.integers(16, 64))
def test_the_error_is_about_right_on_networks_of_many_switches(seed, tolerance, rule, n_steps):
    torch.manual_seed(seed)
    layers = nn.Conv2d(2, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 2, 1)
    segmenter, image = Segmenter(nn.Sequential(*layers), in_channels=2), torch.rand(2, 8, 8)
    target = Target.region(np.ones((8, 8)), 1, "log_odds")
    exact = integrated_gradients(segmenter, image, target, n_steps=3000, method="midpoint").values
    fixed = integrated_gradients(segmenter, image, target, n_steps=n_steps, method=rule)
    assert fixed.map_error >= true_error(fixed.values, exact) / 3
    automatic = integrated_gradients(segmenter, image, target, n_steps="auto", tolerance=tolerance)
    # Where the scores of image and baseline hardly differ, no sum is right to a fraction of the difference.
    assert automatic.measured["missed"] in {"", "sum"}
    assert automatic.map_error <= tolerance
    assert true_error(automatic.values, exact) <= tolerance


def test_a_draw_of_random_baselines_counts_as_its_share():
    torch.manual_seed(2)
    segmenter, image = Segmenter(TinySeg(), in_channels=1), torch.rand(1, 8, 8) * 9
    target = Target.region(np.ones((8, 8)), 1, "logit")
    draws = np.random.default_rng(3).random((2, 1, 8, 8), dtype=np.float32)
    each = [integrated_gradients(segmenter, image, target, draw, 6) for draw in draws]
    both = integrated_gradients(segmenter, image, target, "random", 6, draws=2, seed=3)
    assert 0 < both.map_error <= max(one.map_error for one in each) * 1.01


@pytest.fixture(scope="module")
def scene():
    """A part of a scene: network, image, target and map."""
    segmenter = load_segmenter("scenes", "cpu")
    image = read_image("sample_data/scenes/test/images/scene_00.png")[:, 48:80, 112:144]
    target = Target.prediction(segmenter.predict(image).labels)
    exact = integrated_gradients(segmenter, image, target, n_steps=600, method="midpoint").values
    return segmenter, image, target, exact


def test_the_tolerance_is_that_of_the_map_too(scene):
    segmenter, image, target, exact = scene
    found = integrated_gradients(segmenter, image, target, n_steps="auto", tolerance=0.01)
    assert found.measured["stopped"] == "tolerance"
    assert found.measured["missed"] == ""
    assert found.map_error <= 0.01
    assert found.convergence_percent <= 1
    assert true_error(found.values, exact) <= 0.01


def test_a_map_that_does_not_reach_the_tolerance_says_so(scene):
    """Automatic steps once ended here with a sum that was right to 0.02 % and a map that was 1 % off."""
    segmenter, image, target, exact = scene
    found = integrated_gradients(segmenter, image, target, n_steps="auto", tolerance=0.001, max_steps=150)
    assert found.measured["stopped"] == "budget"
    assert "map" in found.measured["missed"]
    assert found.map_error > 0.001
    assert found.map_error >= true_error(found.values, exact) / 2
