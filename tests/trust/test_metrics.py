"""The registry of metrics: everything that is said of a metric follows from its one file."""

from dataclasses import dataclass

import numpy as np
import pytest

from core.attribution.settings import setting
from core.errors import UserError
from core.target import Target
from core.trust import METRICS, EvaluationSettings, Metric, compare, default_metrics, images_needed, register
from core.trust.metrics.registry import all_settings
from tests.trust.made_up import made_up_metric
from tests.trust.networks import Squares, segmenter_of
from tests.trust.test_comparison import IMAGE, candidates


def test_a_registered_metric_is_measured_and_costs_nothing_that_it_does_not_say():
    before = dict(METRICS)
    with made_up_metric():
        assert list(METRICS).index("peak") == list(METRICS).index("leakage") + 1, "beside others of its category"
        assert all_settings(["peak"])["factor"].default == 2
        settings = EvaluationSettings(values={"factor": 3})
        assert images_needed(["peak"], settings, 6) == 0
        target = Target.pixel(3, 3, 1, "logit")
        tested = candidates(target)
        found = compare(segmenter_of(Squares()), IMAGE, target, tested, ["peak"], settings)
        for name, candidate in tested.items():
            assert found.values[name] == {"peak": pytest.approx(3 * candidate.importance.max())}
        with pytest.raises(ValueError, match='already a metric "peak"'), made_up_metric():
            pass
    assert before == METRICS


def test_two_metrics_that_define_a_setting_in_different_ways_clash():
    @dataclass(frozen=True)
    class Other:
        n_steps: float = setting(0.5)

    class Clashing(Metric):
        name, title, category, direction, question = "clashing", "", "robustness", "lower", ""
        Settings = Other

    with pytest.raises(ValueError, match='"n_steps" of clashing'):
        register(Clashing)
    assert "clashing" not in METRICS


@pytest.mark.parametrize("name", ["space", "layer", "seed", "fill", "fill_sigma", "metrics", "removal"])
def test_a_setting_named_like_an_option_of_evaluate_is_refused(name):
    settings = dataclass(frozen=True)(type("Named", (), {"__annotations__": {name: int}, name: setting(1)}))
    about = {"name": "named", "title": "", "category": "robustness", "direction": "lower", "question": ""}
    with pytest.raises(ValueError, match=f'"{name}" of named clashes with "{name}" of the commands'):
        register(type("Named", (Metric,), about | {"Settings": settings}))
    assert "named" not in METRICS


def test_defaults_are_what_the_metrics_say():
    assert default_metrics() == ("deletion", "insertion", "infidelity", "sensitivity_n", "leakage")
    places = ("mass_inside", "top_k", "pointing_game", "localisation_auc")
    assert default_metrics(with_object=True) == (*default_metrics(), *places)
    assert tuple(METRICS) == (*default_metrics()[:2], "road", *default_metrics()[2:], "max_sensitivity", *places)
    assert {name for name, metric in METRICS.items() if metric.curve} == {"deletion", "insertion", "road", "leakage"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_step": 3}, 'settings of the metrics are n_steps, .*; "n_step" was given'),
        ({"n_steps": 0}, "at least one step; 0"),
        ({"spacing": "cubic"}, 'even, quadratic; "cubic"'),
        ({"n_subsets": 3}, "at least 4 subsets"),
        ({"cell": 0}, "at least one pixel"),
    ],
)
def test_settings_that_make_no_sense(values, message):
    with pytest.raises(UserError, match=message):
        EvaluationSettings(values=values)


def test_maps_read_off_one_curve_share_it():
    """Deletion and leakage together run as many images as either alone, and ROAD needs no image without any pixel."""
    settings = EvaluationSettings(values={"n_steps": 5, "n_subsets": 8})
    alone = images_needed(["deletion"], settings, 3)
    assert alone == 2 + 3 * 4
    assert images_needed(["deletion", "leakage"], settings, 3) == images_needed(["leakage"], settings, 3) == alone
    assert images_needed(["road"], settings, 3) == 1 + 3 * 7
    assert images_needed(["infidelity", "sensitivity_n"], settings, 3) == 1 + 8
    ran: list[int] = []
    target = Target.pixel(3, 3, 1, "logit")
    segmenter = segmenter_of(Squares())
    segmenter.findings()
    segmenter.module.register_forward_pre_hook(lambda _module, inputs: ran.append(len(inputs[0])))
    removal = EvaluationSettings().removal
    tested = dict(list(candidates(target).items())[:3])
    metrics = ["deletion", "leakage", "road", "infidelity", "sensitivity_n", "mass_inside"]
    settings = EvaluationSettings(type(removal)(batch_size=3), settings.values)
    compare(segmenter, IMAGE, target, tested, metrics, settings, np.ones((16, 16), bool))
    assert sum(ran) == images_needed(metrics, settings, 3)
