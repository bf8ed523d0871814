import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import UserError
from core.target import Target
from core.trust import PerturbedRuns, RemovalSettings, deletion, insertion, removal_curve
from core.trust.curves import Curve, removal_steps
from tests.trust.networks import Constant, PixelIsLogit, Squares, segmenter_of, whole

BLACK = RemovalSettings(fill="zero")
FOUR = np.array([[0.4, 0.3], [0.2, 0.1]], np.float32)
FIVE = np.array([[0.3, 0.25, 0.2, 0.15, 0.1]], np.float32)

images = arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32))
rankings = st.permutations(range(12)).map(lambda order: np.array(order, np.float32).reshape(3, 4))


def both(image: np.ndarray, importance: np.ndarray, n_steps: int):
    segmenter, target = segmenter_of(PixelIsLogit()), whole(*image.shape)
    return (
        deletion(segmenter, image[None], target, importance, BLACK, n_steps),
        insertion(segmenter, image[None], target, importance, BLACK, n_steps),
    )


def test_two_steps_on_paper():
    gone, back = both(FOUR, FOUR, 2)
    np.testing.assert_allclose(gone.scores, [1, 0.3, 0], atol=1e-6)
    np.testing.assert_allclose(back.scores, [0, 0.7, 1], atol=1e-6)
    assert gone.auc == pytest.approx(0.4)
    assert back.auc == pytest.approx(0.6)


def test_the_curve_of_one_map_is_that_of_its_runs():
    """`deletion` and `insertion` pass on all they are given: the settings, the number of steps and their spacing."""
    image, target, segmenter = FIVE[None], whole(1, 5), segmenter_of(Squares())
    runs = PerturbedRuns(segmenter, image, target, BLACK)
    for curve, inserted in ((deletion, False), (insertion, True)):
        expected = removal_curve(runs, FIVE, 4, "quadratic", inserted=inserted)
        found = curve(segmenter, image, target, FIVE, BLACK, 4, spacing="quadratic")
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.fractions, expected.fractions)


def test_four_steps_on_paper():
    gone, back = both(FOUR, FOUR, 4)
    assert gone.auc == pytest.approx(0.375)
    assert back.auc == pytest.approx(0.625)


def test_a_last_step_that_is_shorter_is_shorter_on_the_axis():
    gone, back = both(FIVE, FIVE, 3)
    np.testing.assert_allclose(gone.fractions, [0, 0.4, 0.8, 1])
    np.testing.assert_allclose(gone.scores, [1, 0.45, 0.1, 0], atol=1e-6)
    assert gone.auc == pytest.approx(0.41)
    assert back.auc == pytest.approx(0.59)


@settings(max_examples=25, deadline=None)
@given(images, rankings, st.integers(1, 14))
def test_deletion_and_insertion_of_a_sum_add_up_to_it(image, ranking, n_steps):
    gone, back = both(image, ranking, n_steps)
    assert gone.auc + back.auc == pytest.approx(float(image.sum(dtype=np.float64)), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(images, rankings, st.integers(1, 14))
def test_the_perfect_and_the_worst_ranking_bound_every_other(image, ranking, n_steps):
    gone, back = both(image, ranking, n_steps)
    best_gone, best_back = both(image, image, n_steps)
    worst_gone, worst_back = both(image, -image, n_steps)
    assert best_gone.auc - 1e-5 <= gone.auc <= worst_gone.auc + 1e-5
    assert worst_back.auc - 1e-5 <= back.auc <= best_back.auc + 1e-5


def test_a_network_that_says_the_same_of_everything_gives_flat_curves():
    segmenter, target = segmenter_of(Constant()), Target.pixel(1, 1, 1, "logit")
    importance = np.arange(12.0).reshape(3, 4)
    for curve in (deletion, insertion):
        found = curve(segmenter, np.full((1, 3, 4), 0.5, np.float32), target, importance)
        np.testing.assert_array_equal(found.scores, 1.5)
        np.testing.assert_array_equal(found.leakage, 0)
        assert found.auc == pytest.approx(1.5)


@pytest.mark.parametrize("fill", ["zero", "mean", "blur", "random"])
def test_the_batch_size_changes_nothing_and_neither_do_the_inputs_change(fill):
    generator = np.random.default_rng(0)
    image, importance = generator.random((1, 9, 7), np.float32), generator.random((9, 7))
    before = image.copy(), importance.copy()
    segmenter, target = segmenter_of(Squares()), Target.pixel(4, 3, 1, "probability")
    for curve in (deletion, insertion):
        one, many = (
            curve(segmenter, image, target, importance, RemovalSettings(fill=fill, sigma=2, batch_size=size), 6)
            for size in (1, 50)
        )
        np.testing.assert_allclose(one.scores, many.scores, atol=1e-6)
        np.testing.assert_allclose(one.leakage, many.leakage, atol=1e-6)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(importance, before[1])


def seen_images(curve, context_only: bool) -> torch.Tensor:
    """All images that a network sees for a target of two pixels."""
    image = np.arange(1, 13, dtype=np.float32).reshape(1, 3, 4) / 12
    mask = np.zeros((3, 4), bool)
    mask[0, :2] = True
    segmenter = segmenter_of(PixelIsLogit())
    segmenter.findings()
    seen: list[torch.Tensor] = []
    segmenter.module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].clone()))
    ways = RemovalSettings(fill="zero", context_only=context_only)
    curve(segmenter, image, Target.region(mask, 1, "logit"), np.arange(12.0).reshape(3, 4), ways, 4)
    return torch.cat(seen)


@pytest.mark.parametrize("curve", [deletion, insertion])
def test_context_only_leaves_the_target_itself_as_it_is(curve):
    kept = seen_images(curve, context_only=True)[:, 0, 0, :2]
    assert torch.equal(kept, torch.tensor([1 / 12, 2 / 12]).expand_as(kept))
    assert (seen_images(curve, context_only=False)[:, 0, 0, :2] == 0).any()


def test_context_only_of_a_score_without_context_is_flat():
    image = np.random.default_rng(0).random((1, 5, 5), np.float32)
    ways = RemovalSettings(context_only=True)
    found = deletion(segmenter_of(PixelIsLogit()), image, Target.pixel(2, 2, 1, "logit"), image[0], ways, 5)
    np.testing.assert_allclose(found.scores, image[0, 2, 2], rtol=1e-6)
    assert found.leakage[-1] > 0


def test_equal_pixels_do_not_go_row_by_row():
    step_of, fractions = removal_steps(np.zeros((40, 40)), np.ones((40, 40), bool), 2)
    np.testing.assert_array_equal(fractions, [0, 0.5, 1])
    upper = (step_of[:20] == 0).mean()
    assert 0.4 < upper < 0.6
    again, _ = removal_steps(np.zeros((40, 40)), np.ones((40, 40), bool), 2)
    np.testing.assert_array_equal(step_of, again)


def test_what_does_not_fit_is_refused():
    image, target = np.zeros((1, 3, 4), np.float32), Target.pixel(0, 0)
    segmenter = segmenter_of(PixelIsLogit())
    with pytest.raises(UserError, match="must be of one size"):
        deletion(segmenter, image, target, np.zeros((4, 3)))
    with pytest.raises(UserError, match="not finite"):
        deletion(segmenter, image, target, np.full((3, 4), np.nan))
    with pytest.raises(UserError, match="number of steps"):
        deletion(segmenter, image, target, np.zeros((3, 4)), n_steps=0)
    with pytest.raises(UserError, match="no pixel"):
        deletion(segmenter, image, Target.region(np.zeros((3, 4))), np.zeros((3, 4)))
    with pytest.raises(UserError, match="no context"):
        deletion(segmenter, image, whole(3, 4), np.zeros((3, 4)), RemovalSettings(context_only=True))


def test_progress_counts_every_image_and_what_it_raises_stops_the_run():
    image = np.random.default_rng(0).random((1, 6, 6), np.float32)
    counts: list[tuple[int, int]] = []
    ways = RemovalSettings(batch_size=2)
    args = segmenter_of(PixelIsLogit()), image, whole(6, 6), image[0], ways, 6
    deletion(*args, progress=lambda done, total: counts.append((done, total)))
    assert counts[-1] == (7, 7)

    class Stop(Exception):  # noqa: N818 - not an error
        pass

    def stop(done: int, _total: int) -> None:
        if done >= 3:
            raise Stop

    with pytest.raises(Stop):
        deletion(*args, progress=stop)


def test_the_ends_run_once_for_all_maps():
    image = np.random.default_rng(0).random((1, 6, 6), np.float32)
    segmenter = segmenter_of(PixelIsLogit())
    segmenter.findings()
    ran: list[int] = []
    segmenter.module.register_forward_pre_hook(lambda _module, inputs: ran.append(len(inputs[0])))
    runs = PerturbedRuns(segmenter, image, whole(6, 6), RemovalSettings(fill="zero", batch_size=4))
    assert runs.unchanged is runs.unchanged
    assert runs.all_gone is runs.all_gone
    assert runs.unchanged["score"] == pytest.approx(image.sum(), rel=1e-6)
    assert runs.all_gone["score"] == 0
    assert sum(ran) == 2


def test_quadratic_steps_are_small_first():
    step_of, fractions = removal_steps(np.arange(100.0).reshape(10, 10), np.ones((10, 10), bool), 4, 0, "quadratic")
    np.testing.assert_allclose(fractions, [0, 0.07, 0.25, 0.57, 1])
    np.testing.assert_array_equal(np.bincount(step_of.ravel()), [7, 18, 32, 43])
    assert (step_of.ravel()[-7:] == 0).all()


def test_few_pixels_take_few_steps():
    _, fractions = removal_steps(np.arange(3.0)[None], np.ones((1, 3), bool), 9, 0, "quadratic")
    np.testing.assert_allclose(fractions, [0, 1 / 3, 2 / 3, 1])


def test_leakage_is_read_off_where_the_score_is_half_way():
    fractions = np.array([0, 0.2, 0.6, 1])
    curve = Curve(fractions, np.array([1.0, 0.8, 0.4, 0.2]), np.array([0.0, 0.1, 0.3, 0.5]))
    # Half way, 0.6, lies in the middle of the second step.
    assert curve.leakage_at_half == pytest.approx(0.2)
    rising = Curve(fractions, np.array([0.2, 0.1, 0.9, 1.0]), np.array([0.0, 0.1, 0.3, 0.5]))
    assert rising.leakage_at_half == pytest.approx(0.1 + 0.2 * (0.6 - 0.1) / 0.8)
    assert np.isnan(Curve(fractions, np.ones(4), np.zeros(4)).leakage_at_half)
    assert np.isnan(Curve(fractions, np.arange(4.0), np.full(4, np.nan)).leakage_at_half)
