import numpy as np
import pytest

from core.attribution import gradient
from core.attribution.registry import importance
from core.errors import UserError
from core.target import Target
from core.trust import (
    METRICS,
    Candidate,
    EvaluationSettings,
    RemovalSettings,
    candidates_of,
    compare,
    control_candidates,
    images_needed,
)
from tests.trust.networks import PixelIsLogit, Squares, segmenter_of, whole

IMAGE = np.random.default_rng(5).random((1, 16, 16), np.float32)
SETTINGS = EvaluationSettings(RemovalSettings(fill="zero"), {"n_steps": 4, "n_subsets": 12, "cell": 2, "n_copies": 2})


def candidates(target: Target) -> dict[str, Candidate]:
    best = Candidate("Truth", IMAGE[0], again=lambda image: image[0])
    return {"wrong": Candidate("Wrong", -IMAGE[0]), "truth": best} | control_candidates(IMAGE, target)


def test_every_metric_of_every_candidate():
    target = whole(16, 16)
    region = IMAGE[0] > 0.5
    found = compare(segmenter_of(PixelIsLogit()), IMAGE, target, candidates(target), list(METRICS), SETTINGS, region)
    assert set(found.values) == {"truth", "wrong", "random", "blurred_random", "edges", "centre_distance"}
    assert all(tuple(numbers) == tuple(METRICS) for numbers in found.values.values())
    truth = found.values["truth"]
    assert truth["infidelity"] == pytest.approx(0, abs=1e-9)
    assert truth["sensitivity_n"] == pytest.approx(1, abs=1e-5)
    assert truth["top_k"] == truth["localisation_auc"] == truth["pointing_game"] == 1
    assert np.isnan(truth["leakage"]), "the target is the whole image"
    for metric in ("deletion", "insertion", "road", "infidelity", "sensitivity_n"):
        assert found.ranked(metric)[0] == "truth"
        assert found.beats_controls("truth", metric) is True
        assert "Better than every control" in found.in_words("truth", metric)
    assert found.beats_controls("wrong", "deletion") is False
    assert found.beats_controls("wrong", "infidelity") is False
    assert "No better than a control that knows nothing" in found.in_words("wrong", "deletion")
    assert found.beats_controls("edges", "deletion") is None
    assert found.in_words("truth", "leakage") == "Not defined here."
    assert np.isnan(found.values["wrong"]["max_sensitivity"])
    assert found.ranked("max_sensitivity")[-1] == "wrong"


def test_localisation_needs_an_object():
    target = Target.pixel(3, 3, 1, "logit")
    found = compare(segmenter_of(Squares()), IMAGE, target, candidates(target), ["mass_inside", "top_k"], SETTINGS)
    assert np.isnan(list(found.values["truth"].values())).all()
    assert found.curves["truth"] == {}


@pytest.mark.parametrize(
    "metrics", [["deletion"], ["leakage", "insertion"], ["sensitivity_n"], ["max_sensitivity"], list(METRICS)]
)
def test_the_work_is_known_beforehand(metrics):
    target = Target.pixel(3, 3, 1, "logit")
    tested = {name: one for name, one in candidates(target).items() if one.again is not None}
    counts: list[tuple[int, int]] = []
    compare(
        segmenter_of(Squares()), IMAGE, target, tested, metrics, SETTINGS,
        progress=lambda done, total: counts.append((done, total)),
    )  # fmt: skip
    assert counts[-1] == (images_needed(metrics, SETTINGS, len(tested)),) * 2


def test_an_attribution_is_a_candidate_with_its_own_drops():
    segmenter, target = segmenter_of(Squares()), Target.pixel(8, 8, 1, "logit")
    found = gradient(segmenter, IMAGE, target)
    removal = RemovalSettings(fill="blur")
    fill = removal.fill_of(IMAGE)
    candidate = candidates_of([("gradient", found)], segmenter, IMAGE, target, removal, {})["gradient"]
    np.testing.assert_array_equal(candidate.importance, np.abs(found.values[0]))
    np.testing.assert_allclose(candidate.drops, (found.values * (IMAGE - fill)).sum(axis=0), rtol=1e-6)
    assert candidate.again is not None
    np.testing.assert_allclose(candidate.again(IMAGE), importance(found))


def test_a_map_that_is_not_finite_costs_no_other_map_its_numbers():
    target = whole(16, 16)
    tested = candidates(target) | {"broken": Candidate("Broken", np.full((16, 16), np.nan))}
    counts: list[tuple[int, int]] = []
    found = compare(
        segmenter_of(PixelIsLogit()), IMAGE, target, tested, ["deletion", "infidelity"], SETTINGS,
        progress=lambda done, total: counts.append((done, total)),
    )  # fmt: skip
    assert np.isnan(list(found.values["broken"].values())).all()
    assert found.ranked("deletion")[0] == "truth"
    assert counts[-1] == (images_needed(["deletion", "infidelity"], SETTINGS, len(tested)),) * 2


def test_an_unknown_metric_is_refused():
    target = Target.pixel(3, 3)
    with pytest.raises(UserError, match="metric is one of"):
        compare(segmenter_of(Squares()), IMAGE, target, candidates(target), ["truthfulness"])


def test_what_stops_the_progress_stops_the_comparison():
    class Stop(Exception):  # noqa: N818 - not an error
        pass

    def stop(done: int, _total: int) -> None:
        if done >= 20:
            raise Stop

    target = Target.pixel(3, 3, 1, "logit")
    with pytest.raises(Stop):
        compare(segmenter_of(Squares()), IMAGE, target, candidates(target), list(METRICS), SETTINGS, progress=stop)


def test_every_metric_says_which_way_is_better_and_what_it_asks():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.direction in {"lower", "higher"}
        assert metric.category in {"faithfulness", "specificity", "robustness", "localisation"}
        assert metric.question.endswith((".", "?"))
        assert metric.better(*((0, 1) if metric.direction == "lower" else (1, 0)))
        assert not metric.better(float("nan"), 0)
