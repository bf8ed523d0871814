import sys

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from core import Segmenter, Target, UserError, load_segmenter, read_image
from core.attribution import Attribution, gradient, integrated_gradients
from core.attribution.integrated_gradients import errors_by_steps
from core.attribution.path_integral import RULES, nodes_and_weights
from core.compute.memory import ShrinkingBatches
from core.compute.progress import About, AtMost
from tests.networks import IMAGE_1_TO_9, TinySeg, Wrapped

VESSELS = read_image("sample_data/vessels/images/phantom_00.tiff")[:, 96:160, 96:160]


@pytest.fixture(scope="module")
def vessmap() -> Segmenter:
    return load_segmenter("vessmap", device="cpu")


class TwoInputs(nn.Module):
    """f(x1, x2) of the first two pixels as the logit of class 1 everywhere."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        score = self.function(images[:, 0, 0, 0], images[:, 0, 0, 1])
        return torch.stack((0 * score, score), dim=1)[:, :, None, None].expand(-1, -1, 1, 2)


@pytest.mark.parametrize("baseline", ["zero", "random", "blur", "mean"])
@pytest.mark.parametrize(
    ("name", "path"), [("fundus", "fundus/test/images/fundus_00.png"), ("scenes", "scenes/test/images/scene_00.png")]
)
def test_completeness_on_the_other_shipped_networks(name, path, baseline):
    segmenter = load_segmenter(name, "cpu")
    image = read_image(f"sample_data/{path}")[:, 32:96, 64:128]
    target = Target.prediction(segmenter.predict(image).labels)
    found = integrated_gradients(segmenter, image, target, baseline, "auto", tolerance=0.03, draws=1)
    assert found.measured["stopped"] == "tolerance"
    assert found.values.sum() == pytest.approx(found.score_difference, rel=0.03)


@pytest.mark.parametrize("n_steps", [3000, "auto"])
def test_tiny_seg(n_steps):
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = mask[2, 2] = True
    expected = [
        [-7 / 9, -14 / 9, -7 / 3],
        [-28 / 9, 113 / 126, -179 / 21],
        [-49 / 9, -716 / 63, 157 / 14],
    ]
    segmenter = Segmenter(TinySeg(), in_channels=1)
    found = integrated_gradients(
        segmenter, IMAGE_1_TO_9, Target.region(mask, 1), n_steps=n_steps, method="midpoint", tolerance=1e-4
    )
    np.testing.assert_allclose(found.values[0], expected, atol=0.01 if n_steps == "auto" else 0.004)
    assert found.score_difference == -21
    assert abs(found.convergence_delta) < 0.003


@pytest.mark.parametrize(
    "function",
    [
        lambda x1, x2: torch.relu(torch.relu(x1) - 1 - torch.relu(x2)),
        lambda x1, x2: torch.relu(torch.relu(x1 - 1) - torch.relu(x2)),
    ],
)
@pytest.mark.parametrize("n_steps", [4000, "auto"])
def test_the_two_relu_networks(function, n_steps):
    """Equal functions, equal attributions (Sundararajan 2017, figure 7)."""
    segmenter = Segmenter(TwoInputs(function), in_channels=1, size_multiple=1)
    image = torch.tensor([[[3.0, 1.0]]])
    found = integrated_gradients(
        segmenter, image, Target.pixel(0, 0, 1, "logit"), n_steps=n_steps, method="midpoint", tolerance=1e-4
    )
    np.testing.assert_allclose(found.values[0, 0], [1.5, -0.5], atol=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_network_is_exact_with_the_fewest_steps(rule):
    segmenter = Segmenter(nn.Conv2d(2, 3, 3, padding=1), in_channels=2)
    image = torch.rand(2, 6, 7)
    target = Target.region(np.ones((6, 7)), 2)
    found = integrated_gradients(segmenter, image, target, "mean", 2 if rule == "trapezoid" else 1, rule)
    assert abs(found.convergence_delta) < 1e-5 * np.abs(found.values).sum()
    automatic = integrated_gradients(segmenter, image, target, "mean", "auto")
    np.testing.assert_allclose(automatic.values, found.values, rtol=1e-4, atol=1e-6)
    assert automatic.measured["stopped"] == "tolerance"
    assert automatic.measured["steps"] == 9


@pytest.mark.parametrize("baseline", ["zero", "random", "blur", "mean", "own"])
@pytest.mark.parametrize("space", ["logit", "probability"])
def test_completeness_on_the_shipped_network(vessmap, baseline, space):
    labels = vessmap.predict(VESSELS).labels
    own = VESSELS[:, ::-1].copy()
    found = integrated_gradients(
        vessmap, VESSELS, Target.prediction(labels, space), own if baseline == "own" else baseline, "auto",
        tolerance=0.02, draws=2,
    )  # fmt: skip
    assert found.measured["stopped"] == "tolerance"
    assert found.convergence_percent < 2
    assert found.values.sum() == pytest.approx(found.score_difference, rel=0.02)
    # An independent look at the two ends.
    target = Target.prediction(labels, space)
    score = float(target(vessmap.logits(VESSELS)))
    assert found.measured["score"] == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_steps", [2, 11])
def test_a_fixed_rule_is_the_sum_of_its_weighted_gradients(rule, n_steps):
    torch.manual_seed(0)
    # Without ReLUs, which another rounding can switch.
    network = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 2, 3, padding=1))
    segmenter, target = Segmenter(network, in_channels=1), Target.region(np.ones((64, 64)), 1, "probability")
    nodes, weights = nodes_and_weights(rule, n_steps)
    each = [gradient(segmenter, float(node) * VESSELS, target).values.astype(np.float64) for node in nodes]
    expected = VESSELS * np.tensordot(weights, each, 1)
    found = integrated_gradients(segmenter, VESSELS, target, n_steps=n_steps, method=rule).values
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


@pytest.fixture
def shown_at_once(monkeypatch):
    monkeypatch.setattr(sys.modules[integrated_gradients.__module__], "_SECONDS_BETWEEN_MAPS", 0)


def test_steps_so_far_are_spread_over_the_path(shown_at_once):
    """The score is the first pixel's square, whose gradient grows along the path: its integral is 1."""
    segmenter = Segmenter(TwoInputs(lambda first, _: first**2), in_channels=1, size_multiple=1)
    image, shown = torch.tensor([[[1.0, 0.0]]]), []
    integrated_gradients(
        segmenter, image, Target.pixel(0, 0, 1, "logit"), n_steps=64, method="midpoint", internal_batch_size=1,
        show=shown.append,
    )  # fmt: skip
    assert [one.measured["steps"] for one in shown] == list(range(3, 65))
    values = {one.measured["steps"]: float(one.values[0, 0, 0]) for one in shown}
    # The discrepancy of van der Corput's first n points is at most (log2(n) / 3 + 1) / n, and the gradient varies by 2.
    # The node nearest the baseline comes last instead of first, which moves each point's rank by one.
    assert all(abs(value - 1) <= 2 * (np.log2(steps) / 3 + 2) / steps for steps, value in values.items())
    assert values[8] == pytest.approx(1, abs=0.15)
    assert values[64] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("n_steps", [32, "auto"])
def test_maps_of_the_steps_so_far_say_what_they_miss(vessmap, shown_at_once, n_steps):
    target = Target.prediction(vessmap.predict(VESSELS).labels, "logit", "mean")
    shown: list[Attribution] = []
    options = {"n_steps": n_steps, "tolerance": 0.05, "internal_batch_size": 4}
    found = integrated_gradients(vessmap, VESSELS, target, "random", draws=2, show=shown.append, **options)
    assert {one.measured["stopped"] for one in shown} == {"unfinished"}
    assert found.measured["stopped"] != "unfinished"
    for one in shown:
        difference = one.measured["score"] - one.measured["baseline_score"]
        assert one.convergence_delta == pytest.approx(one.values.sum(dtype=np.float64) - difference, abs=1e-5)
    # Of the first draw alone: already a map of that draw's own question.
    first = integrated_gradients(vessmap, VESSELS, target, "random", draws=1, **options)
    (alone,) = [one for one in shown if one.measured["steps"] == first.measured["steps"]]
    np.testing.assert_allclose(alone.values, first.values, atol=1e-6 * np.abs(first.values).max())


def test_maps_of_the_steps_so_far_come_once_a_second(vessmap):
    shown: list[Attribution] = []
    found = integrated_gradients(
        vessmap, VESSELS, Target.pixel(5, 5), n_steps=24, internal_batch_size=1, show=shown.append
    )
    assert 1 <= len(shown) <= 1 + found.seconds


@pytest.mark.parametrize("batch_size", [None, 1, 7])
@pytest.mark.parametrize("space", ["logit", "probability", "log_odds"])
def test_captum_gives_the_same(vessmap, batch_size, space):
    target = Target.region(vessmap.predict(VESSELS).labels == 1, 1, space)
    found = integrated_gradients(vessmap, VESSELS, target, "zero", 20, internal_batch_size=batch_size)
    images = torch.from_numpy(VESSELS[None])
    peer = IntegratedGradients(lambda x: target(vessmap.logits(x)))
    expected, delta = peer.attribute(
        images, torch.zeros_like(images), n_steps=20, method="gausslegendre", internal_batch_size=20,
        return_convergence_delta=True,
    )  # fmt: skip
    np.testing.assert_allclose(found.values, expected[0].numpy(), atol=1e-5 * float(expected.abs().max()))
    assert found.convergence_delta == pytest.approx(float(delta), abs=1e-3 * abs(found.score_difference))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 9), st.integers(1, 12), st.sampled_from(["random", "blur"]))
def test_the_batch_size_changes_nothing(batch_size, n_steps, baseline):
    torch.manual_seed(1)
    segmenter, image = Segmenter(Wrapped("tensor")), torch.rand(3, 8, 9)
    target = Target.region(np.ones((8, 9)), 1, "probability")
    one, other = (
        integrated_gradients(segmenter, image, target, baseline, n_steps, internal_batch_size=size, sigma=2)
        for size in (1, batch_size)
    )
    np.testing.assert_allclose(one.values, other.values, atol=1e-5 * np.abs(one.values).max())


def test_batches_of_automatic_steps_reach_the_tolerance_too(vessmap):
    target = Target.region(np.ones((64, 64)), 1, "probability")
    for size in (1, 8):
        found = integrated_gradients(vessmap, VESSELS, target, n_steps="auto", internal_batch_size=size)
        assert found.measured["stopped"] == "tolerance"
        assert found.convergence_percent <= 1


def test_a_baseline_equal_to_the_image_gives_zero(vessmap):
    for n_steps in (5, "auto"):
        found = integrated_gradients(vessmap, VESSELS, Target.pixel(9, 9), VESSELS, n_steps)
        assert not found.values.any()
        assert found.convergence_delta == 0
        assert np.isnan(found.convergence_percent)


def test_an_empty_region_gives_zero(vessmap):
    found = integrated_gradients(vessmap, VESSELS, Target.region(np.zeros((64, 64)), 1), n_steps=2)
    assert not found.values.any()
    assert found.score_difference == 0


def test_random_baselines_are_averaged():
    torch.manual_seed(2)
    segmenter, image = Segmenter(Wrapped("tensor")), torch.rand(3, 8, 9)
    target = Target.pixel(3, 3, 1, "logit")
    both = integrated_gradients(segmenter, image, target, "random", 6, draws=2, seed=3)
    draws = np.random.default_rng(3).random((2, 3, 8, 9), dtype=np.float32)
    each = [integrated_gradients(segmenter, image, target, draw, 6) for draw in draws]
    np.testing.assert_allclose(both.values, (each[0].values + each[1].values) / 2, atol=1e-7)
    assert both.score_difference == pytest.approx((each[0].score_difference + each[1].score_difference) / 2)
    assert both.measured["steps"] == 12


def test_the_budget_ends_automatic_steps_and_is_told(vessmap):
    target = Target.region(np.ones((64, 64)), 1, "logit")
    found = integrated_gradients(vessmap, VESSELS, target, n_steps="auto", tolerance=1e-6, max_steps=21)
    assert found.measured["stopped"] == "budget"
    assert found.measured["steps"] <= 21


def test_progress_of_automatic_steps_bounds_their_number_until_it_can_be_told(vessmap):
    seen: list[tuple[int, int]] = []
    found = integrated_gradients(
        vessmap, VESSELS, Target.pixel(5, 5), "random", "auto", draws=3, tolerance=0.05, max_steps=200,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    counts, totals = zip(*seen, strict=True)
    steps = found.measured["steps"]
    assert list(counts) == sorted(counts)
    assert counts[-1] == totals[-1] == steps < 600
    bounds = [total for total in totals if isinstance(total, AtMost)]
    assert {*bounds} == {600}
    estimates = totals[len(bounds) :]
    assert all(isinstance(total, About) for total in estimates)
    assert counts[len(bounds)] >= 9
    assert all(done <= total <= 600 for done, total in seen)


@pytest.mark.parametrize(("model", "baseline"), [("vessmap", "zero"), ("vessmap", "blur"), ("scenes", "zero")])
def test_the_number_of_automatic_steps_is_told_within_a_factor_of_about_two(model, baseline):
    image = VESSELS if model == "vessmap" else read_image("sample_data/scenes/test/images/scene_00.png")[:, :64, :64]
    segmenter = load_segmenter(model, "cpu")
    target = Target.prediction(segmenter.predict(image).labels, "logit", "mean")
    seen: list[int] = []
    found = integrated_gradients(
        segmenter, image, target, baseline, "auto", tolerance=0.01, progress=lambda _, total: seen.append(total)
    )
    told = [total for total in seen if isinstance(total, About)]
    assert len(told) > 3
    assert max(told) < 2.2 * found.measured["steps"]
    assert min(told) > found.measured["steps"] / 2.2


def test_progress_counts_all_gradients_and_can_stop(vessmap):
    seen = []
    integrated_gradients(
        vessmap, VESSELS, Target.pixel(5, 5), "random", 6, internal_batch_size=4, draws=2,
        progress=lambda *numbers: seen.append(numbers),
    )  # fmt: skip
    assert seen == [(4, 12), (6, 12), (10, 12), (12, 12)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        integrated_gradients(vessmap, VESSELS, Target.pixel(5, 5), progress=stop)


def test_more_steps_come_closer(vessmap):
    target = Target.region(vessmap.predict(VESSELS).labels == 1, 1, "probability")
    curve = errors_by_steps(vessmap, VESSELS, target, steps=(1, 64))
    assert set(curve) == {1, 64}
    assert curve[64][0] < curve[1][0]


class HungryWrapped(Wrapped):
    """Runs out of memory for more than two images."""

    def forward(self, images: Tensor) -> object:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(images)


def test_memory_that_runs_out_shrinks_the_batch():
    torch.manual_seed(0)
    module = HungryWrapped("tensor")
    module.most = 2
    segmenter, image, target = Segmenter(module), torch.rand(3, 8, 8), Target.pixel(2, 2)
    found = integrated_gradients(segmenter, image, target, n_steps=9, internal_batch_size=9)
    assert found.measured["batch_size"] == 2
    one = integrated_gradients(segmenter, image, target, n_steps=9, internal_batch_size=1)
    np.testing.assert_allclose(found.values, one.values, atol=1e-7)


def test_not_even_one_step_fits():
    def hungry(size: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="Memory ran out"):
        ShrinkingBatches(8).run(hungry)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"n_steps": 0}, "at least 1"),
        ({"n_steps": 2.5}, "whole number"),
        ({"n_steps": "many"}, "auto"),
        ({"n_steps": 1, "method": "trapezoid"}, "at least 2"),
        ({"baseline": "grey"}, "baseline is one of"),
        ({"baseline": np.zeros((1, 3, 3), np.float32)}, "of one size"),
        ({"internal_batch_size": 0}, "at least one step"),
        ({"n_steps": "auto", "tolerance": 0}, "between 0 and 1"),
        ({"n_steps": "auto", "max_steps": 2}, "at least 3"),
        ({"target": Target.pixel(1, 1, 5)}, "no class 5"),
        ({"target": Target.pixel(99, 1)}, "outside the image"),
    ],
)
def test_bad_settings(vessmap, options, word):
    arguments = {"target": Target.pixel(1, 1)} | options
    with pytest.raises(UserError, match=word):
        integrated_gradients(vessmap, VESSELS, **arguments)
