import csv
import io
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from core import Segmenter, UserError
from core.attribution.cam import layer_advice
from core.data.index_masks import IGNORED
from core.io.tables import csv_bytes
from core.segmenter import Prediction
from core.trust import METRICS, EvaluationSettings, RemovalSettings
from core.trust.benchmark.interval import Interval, t_interval
from core.trust.benchmark.measurement import BenchmarkSettings, Measurement, evaluate_image, measurements_from
from core.trust.benchmark.summary import caution, in_words, summarise, verdict_of
from core.trust.benchmark.table import text_table
from core.trust.benchmark.targets import TARGET_KINDS, TargetSettings, draw_targets, foreground_classes
from core.trust.controls import CONTROLS
from tests.networks import OneChannel

NAMES = ("background", "wall", "speck", "lamp")
NAN = float("nan")
POINT = TargetSettings(kind="point")
LOCALISATION_METRICS = ("mass_inside", "top_k", "pointing_game", "localisation_auc")


def prediction(labels: np.ndarray, classes: int = len(NAMES)) -> Prediction:
    return Prediction(np.stack([labels == index for index in range(classes)]).astype(np.float32), labels)


@pytest.fixture
def scene() -> Prediction:
    """40 × 50: a large wall, a speck of less than 1 % of the image, two lamps of 7 × 7 pixels."""
    labels = np.zeros((40, 50), np.int64)
    labels[:, :25] = 1
    labels[0, 40:45] = 2
    labels[10:17, 30:37] = 3
    labels[25:32, 40:47] = 3
    return prediction(labels)


# Intervals


@given(value=st.floats(-1e6, 1e6), groups=st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_equal_values_have_an_interval_without_width(value, groups):
    found = t_interval([value] * len(groups), groups)
    assert (found.mean, found.values, found.groups) == (value, len(groups), len(set(groups)))
    if found.groups > 1:
        assert (found.low, found.high) == (value, value)
    else:
        assert math.isnan(found.low)
        assert math.isnan(found.high)


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 9)), min_size=2, max_size=40))
@settings(deadline=None)
def test_the_mean_lies_between_the_means_of_the_groups_and_in_the_middle_of_its_interval(pairs):
    values, groups = zip(*pairs, strict=True)
    found = t_interval(values, groups)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    means = [np.mean([v for v, g in pairs if g == group]) for group in set(groups)]
    assert min(means) - 1e-9 <= found.mean <= max(means) + 1e-9
    if found.groups > 1:
        assert found.low <= found.mean <= found.high
        assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_copies_of_a_value_within_its_group_change_nothing_but_among_groups_they_would():
    values = np.random.default_rng(5).normal(size=12)
    once = t_interval(values, range(12))
    copied = t_interval(np.repeat(values, 9), np.repeat(np.arange(12), 9))
    assert (copied.mean, copied.low, copied.high) == pytest.approx((once.mean, once.low, once.high))
    naive = t_interval(np.repeat(values, 9), range(108))
    # √(12 · 11) and √(108 · 107 / 9) are what the sums of squares are divided by.
    factor = stats.t.ppf(0.975, 11) / stats.t.ppf(0.975, 107) * np.sqrt(107 / 11)
    assert (once.high - once.low) / (naive.high - naive.low) == pytest.approx(factor)


def test_a_single_group_has_no_interval_and_what_is_not_defined_is_left_out():
    one = t_interval([1.0, 2.0], ["a", "a"])
    assert (one.mean, one.values, one.groups) == (1.5, 2, 1)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert t_interval([1.0, NAN, 4.0], "abc") == t_interval([1.0, 4.0], "ac")
    nothing = t_interval([NAN, NAN], "ab")
    assert math.isnan(nothing.mean)
    assert (nothing.values, nothing.groups) == (0, 0)
    assert t_interval([1, 5, 9], "abc") == t_interval([1, 5, 9], "abc")


@pytest.mark.parametrize("wrong", [{"confidence": 1.0}, {"confidence": 0}, {"groups": "ab"}])
def test_a_t_interval_that_makes_no_sense(wrong):
    with pytest.raises(UserError):
        t_interval(**({"values": [1, 2, 3], "groups": "abc"} | wrong))


@pytest.mark.parametrize("confidence", [0.5, 0.95])
@given(values=st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_alone_in_its_group_every_value_has_the_t_interval_of_scipy(confidence, values):
    found = t_interval(values, range(len(values)), confidence)
    # Without any difference, scipy has a division by zero.
    if len(set(values)) > 1:
        expected = stats.ttest_1samp(values, 0).confidence_interval(confidence)
        np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-9, atol=1e-9)


def test_a_t_interval_of_two_groups_by_hand():
    """m = (2 + 36) / 4 = 9.5; both residuals are 7.5, so v = 2 · 2 · 7.5² / 4² and √v = 3.75; tan(0.475 π) = t₁."""
    found = t_interval([2.0, 10.0, 12.0, 14.0], ["a", "b", "b", "b"])
    half = 3.75 * math.tan(0.475 * math.pi)
    assert (found.mean, found.low, found.high) == pytest.approx((9.5, 9.5 - half, 9.5 + half))
    assert (found.values, found.groups) == (4, 2)


def test_about_one_verdict_in_twenty_is_false_with_eight_images():
    """Three differences an image, of mean 0, with a part of each that all of its image share.

    Of 2,000 draws at 5 %, 4.5 standard errors are 2.2 %. An interval that takes the 24 values as independent is wrong
    in far more.
    """
    generator = np.random.default_rng(0)
    differences = generator.normal(size=(2000, 8, 1)) + 0.5 * generator.normal(size=(2000, 8, 3))
    images = np.repeat(np.arange(8), 3)
    verdicts = [verdict_of(t_interval(each.ravel(), images), "deletion") for each in differences]
    assert 0.028 < np.mean([verdict != "not told apart" for verdict in verdicts]) < 0.072
    assert abs(verdicts.count("better") - verdicts.count("worse")) < 50


# Targets


def test_the_background_is_no_foreground():
    assert foreground_classes(("background", "vessel")) == [1]
    assert foreground_classes(("class 0", "class 1")) == [1]
    assert foreground_classes(("vessel", "background")) == [0]
    assert foreground_classes(("road", "car", "sky")) == [0, 1, 2]
    assert foreground_classes(("road", " Background", "sky")) == [0, 2]


def test_targets_rather_than_a_class_are_of_the_others(scene):
    drawn = draw_targets(scene, NAMES, TargetSettings(n_targets=6, window=9, against=3))
    assert {(each.class_index, each.target.against) for each in drawn} == {(1, 3)}
    assert f"{NAMES[1]} rather than {NAMES[3]}" in drawn[0].in_words(NAMES)
    with pytest.raises(UserError, match="no class 9"):
        draw_targets(scene, NAMES, TargetSettings(against=9))


@pytest.mark.parametrize("kind", TARGET_KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_targets_lie_inside_the_prediction_and_are_seeded_and_different(scene, kind, seed):
    def draw():
        return draw_targets(scene, NAMES, TargetSettings(kind=kind, n_targets=6, window=9), np.random.default_rng(seed))

    drawn, again = draw(), draw()
    assert len(drawn) == {"class": 2, "component": 3}.get(kind, 6)
    pixels = [each.target.pixels(scene.labels.shape) for each in drawn]
    assert len({array.tobytes() for array in pixels}) == len(drawn)
    for each, array, same in zip(drawn, pixels, again, strict=True):
        assert (scene.labels[array] == each.class_index).all()
        assert each.class_index in (1, 3)
        assert array[each.row, each.column]
        assert (each.target.space, each.target.class_index) == ("probability", each.class_index)
        np.testing.assert_array_equal(same.target.pixels(scene.labels.shape), array)
        if kind == "patch":
            rows, columns = np.nonzero(array)
            assert (np.abs(rows - each.row) <= 4).all()
            assert (np.abs(columns - each.column) <= 4).all()
            inside = scene.labels[max(each.row - 4, 0) : each.row + 5, max(each.column - 4, 0) : each.column + 5]
            assert array.sum() == (inside == each.class_index).sum()
        if kind == "point":
            assert array.sum() == 1
        if kind == "class":
            assert array.sum() == (scene.labels == each.class_index).sum()
    if kind == "component":
        assert sorted(int(array.sum()) for array in pixels) == [49, 49, 1000]


def test_a_region_is_a_mean():
    """Its score of a map of probabilities is the mean over the pixels, whatever their number."""
    logits = torch.zeros(1, 2, 20, 20)
    logits[0, 1, :, 10:] = torch.log(torch.tensor(3.0))
    labels = prediction(np.ones((20, 20), np.int64), 2)
    (drawn,) = draw_targets(labels, ("background", "vessel"), TargetSettings(kind="class"))
    assert float(drawn.target(logits)) == pytest.approx((0.5 + 0.75) / 2)


def test_small_classes_are_drawn_as_often_as_large_ones(scene):
    """The wall has 1,000 pixels and the lamps 98; 400 fair draws are within six standard deviations of 200."""
    drawn = [draw_targets(scene, NAMES, POINT, np.random.default_rng(seed))[0] for seed in range(400)]
    assert abs(sum(each.class_index == 3 for each in drawn) - 200) < 6 * 10


def test_a_speck_is_drawn_only_where_there_is_nothing_else_or_it_is_asked_for(scene):
    assert len(draw_targets(scene, NAMES, replace(POINT, n_targets=50, class_index=2))) == 5
    alone = prediction(np.where(scene.labels == 2, 2, 0))
    assert [each.class_index for each in draw_targets(alone, NAMES, TargetSettings(kind="class", n_targets=3))] == [2]
    assert draw_targets(scene, NAMES, TargetSettings(kind="class", class_index=0))[0].class_index == 0
    # All windows around the speck hold all of it: there is one patch.
    assert len(draw_targets(alone, NAMES, TargetSettings(n_targets=4))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "lasso"}, 'one of patch, point, component, class; "lasso"'),
        ({"n_targets": 0}, "At least one target"),
        ({"window": 8}, "odd number"),
        ({"class_index": 3}, r"No pixel is predicted as class 3 \(lamp\)"),
        ({}, "Nothing but background"),
    ],
)
def test_targets_that_cannot_be_drawn(arguments, message):
    with pytest.raises(UserError, match=message):
        draw_targets(prediction(np.zeros((9, 9), np.int64)), NAMES, TargetSettings(**arguments))


def test_the_object_of_a_target_in_the_ground_truth(scene):
    """The truth has the first lamp shifted by three columns, and the second one is missing; the wall is right."""
    truth = np.where(scene.labels == 3, 0, scene.labels)
    truth[10:17, 33:40] = 3
    chosen = TargetSettings(n_targets=40, class_index=3, window=5)
    of_kind = {
        kind: draw_targets(scene, NAMES, replace(chosen, kind=kind), np.random.default_rng(1)) for kind in TARGET_KINDS
    }
    for each in of_kind["patch"]:
        rows, columns = np.ogrid[:40, :50]
        window = (abs(rows - each.row) <= 2) & (abs(columns - each.column) <= 2)
        np.testing.assert_array_equal(each.object_in(truth), window & (truth == 3))
    for each in of_kind["point"]:
        on_it = truth[each.row, each.column] == 3
        assert each.object_in(truth).sum() == (49 if on_it else 0)
    assert sorted(int(each.object_in(truth).sum()) for each in of_kind["component"]) == [0, 49]
    assert int(of_kind["class"][0].object_in(truth).sum()) == 49
    assert of_kind["class"][0].in_words(NAMES) == "class of lamp, 98 pixels"
    point = of_kind["point"][0]
    assert point.in_words(NAMES) == f"point of lamp at ({point.row}, {point.column}), 1 pixel"


# Verdicts


def measured(image, candidate, value, target=0, metric="deletion", seconds=1.0):
    control = candidate in CONTROLS
    return Measurement(
        image,
        target,
        "",
        1,
        5,
        0,
        candidate,
        candidate.title(),
        control,
        "",
        NAN if control else seconds,
        {metric: value},
    )


@pytest.mark.parametrize(
    ("low", "high", "lower", "higher"),
    [
        (0.1, 0.3, "worse", "better"),
        (-0.3, -0.1, "better", "worse"),
        (-0.1, 0.3, "not told apart", "not told apart"),
        (0.0, 0.3, "not told apart", "not told apart"),
        (NAN, NAN, "not told apart", "not told apart"),
    ],
)
def test_verdicts(low, high, lower, higher):
    difference = Interval(0.2, low, high, 12, 6)
    assert verdict_of(difference, "deletion") == lower
    assert verdict_of(difference, "insertion") == higher
    assert verdict_of(difference._replace(groups=5), "insertion") == "not told apart"
    assert verdict_of(Interval(NAN, NAN, NAN, 0, 0), "deletion") == "not defined"


def test_candidates_are_held_against_the_control_that_is_best_on_average():
    """By hand: the good one is 0.1 below the edges in every image, the poor one 0.2 above, though both vary widely."""
    values = np.linspace(0.2, 0.9, 8)
    rows = []
    for index, value in enumerate(values):
        image = f"{index}.png"
        rows += [
            measured(image, "edges", value),
            measured(image, "random", value + 0.5),
            measured(image, "good", value - 0.1),
            measured(image, "poor", value + 0.2),
            measured(image, "none", NAN),
        ]
    found = {row.candidate: row for row in summarise(rows, ["deletion"])}
    assert list(found) == ["good", "edges", "poor", "random", "none"]
    assert {name: row.rank for name, row in found.items()} == {"good": 1, "edges": 2, "poor": 3, "random": 4, "none": 0}
    assert {row.best_control for row in found.values()} == {"edges"}
    good, poor = found["good"], found["poor"]
    assert (good.difference, good.difference_low, good.difference_high) == pytest.approx((-0.1, -0.1, -0.1))
    assert poor.difference == pytest.approx(0.2)
    assert good.low < values.mean() < good.high
    expected = t_interval(values - 0.1, range(8))
    assert (good.low, good.high) == pytest.approx((expected.low, expected.high))
    assert [found[name].verdict for name in ("good", "poor", "edges", "none")] == [
        "better", "worse", "control", "not defined",
    ]  # fmt: skip
    assert (good.mean, good.targets, good.images, good.seconds) == (pytest.approx(values.mean() - 0.1), 8, 8, 1.0)
    assert math.isnan(found["edges"].difference)
    assert math.isnan(found["edges"].seconds)
    assert found["none"].targets == 0
    assert math.isnan(found["none"].mean)
    sentences = in_words(list(found.values()))
    assert sentences[0] == "Good beats its controls in Deletion."
    assert sentences[1] == "Poor beats its controls in nothing; is worse than one in Deletion."
    assert sentences[2] == "None has no value in Deletion."
    assert caution(list(found.values())) == ""


def test_only_targets_where_both_have_a_value_are_paired():
    rows = []
    for index in range(6):
        rows += [measured(f"{index}", "edges", NAN if index == 0 else 1.0, target) for target in (0, 1)]
        rows += [measured(f"{index}", "good", 100.0 if index == 0 else 0.5, target) for target in (0, 1)]
    found = {row.candidate: row for row in summarise(rows, ["deletion"])}
    assert found["good"].difference == -0.5
    assert (found["good"].targets, found["edges"].targets, found["edges"].images) == (12, 10, 5)
    assert found["good"].verdict == "not told apart"  # five images are not enough


def test_equal_means_share_the_best_of_their_ranks():
    """The same values in another order, whose sums differ by rounding, are equal too."""
    values = {
        "first": [0.1, 0.2, 0.3],
        "edges": [0.9, 0.9, 0.9],
        "second": [0.3, 0.2, 0.1],
        "none": [NAN, NAN, NAN],
        "best": [0.0, 0.1, 0.1],
        "third": [0.2, 0.3, 0.1],
    }
    rows = [measured(f"{index}", name, value) for name, found in values.items() for index, value in enumerate(found)]
    ranks = {row.candidate: row.rank for row in summarise(rows, ["deletion"])}
    assert ranks == {"best": 1, "first": 2, "second": 2, "third": 2, "edges": 5, "none": 0}


def test_the_table_says_it_all():
    rows = []
    for index in range(6):
        rows += [
            measured(f"{index}", "edges", 0.5),
            measured(f"{index}", "good", 0.25),
            measured(f"{index}", "no", NAN),
        ]
    summary = summarise(rows, ["deletion"])
    lines = text_table(summary, markdown=True).splitlines()
    assert lines[:5] == [
        "| Method | Deletion ↓ | Seconds per map |",
        "| --- | --: | --: |",
        "| Good | 0.25 [0.25, 0.25] + | 1 |",
        "| Edges (control) | 0.5 [0.5, 0.5] | - |",
        "| No | - | 1 |",
    ]
    plain = text_table(summary).splitlines()
    assert plain[1].split() == ["Good", "0.25", "+", "1"]
    assert "+ better" in plain[-1]
    assert "nothing is corrected for many comparisons" in plain[-1]


def test_few_images_are_cautioned_about():
    assert "take at least 6" in caution(summarise([measured("a", "good", 1.0)], ["deletion"]))
    assert "2 images" in caution(summarise([measured(name, "good", 1.0) for name in "ab"], ["deletion"]))


# A whole image


@pytest.fixture(scope="module")
def network() -> Segmenter:
    """The logit of the class bright is 3 · image - 1 at each pixel."""
    return Segmenter(OneChannel(), in_channels=1, class_names=("dark", "bright"))


SETTINGS = BenchmarkSettings(
    methods=("gradient", "integrated_gradients"),
    metrics=tuple(METRICS),
    space="logit",
    window=9,
    n_targets=2,
    explain={"n_steps": 2},
    evaluation=EvaluationSettings(RemovalSettings(fill="zero"), {"n_steps": 4, "n_subsets": 16, "cell": 2}),
)


def image_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 16, 20), dtype=np.float32)


def test_a_linear_network_is_explained_without_error(network):
    """The drops that gradient and Integrated Gradients say are the true ones, so they beat what knows nothing."""
    found = [
        each
        for seed in range(6)
        for each in evaluate_image(
            network, image_of(seed), f"{seed}.png", SETTINGS, (image_of(seed)[0] > 0.5).astype(np.int64)
        )
    ]
    assert len(found) == 6 * 2 * (2 + len(CONTROLS))
    for each in found:
        assert set(each.values) == set(METRICS)
        if not each.is_control:
            assert each.values["infidelity"] == pytest.approx(0, abs=1e-9)
            assert each.values["sensitivity_n"] == pytest.approx(1)
    rows = {(row.candidate, row.metric): row for row in summarise(found, METRICS)}
    for method in ("gradient", "integrated_gradients"):
        assert rows[method, "infidelity"].verdict == rows[method, "sensitivity_n"].verdict == "better"
        assert rows[method, "max_sensitivity"].targets == 12
    assert rows["random", "infidelity"].verdict == "control"


def test_localisation_looks_at_the_object_and_leaves_out_what_is_unknown(network):
    """All that is bright inside the window is the object, and a gradient map is a constant there and 0 elsewhere."""
    image = image_of(0)
    truth = (image[0] > 1 / 3).astype(np.int64)
    for each in evaluate_image(network, image, "a.png", SETTINGS, truth):
        if each.candidate == "gradient":
            assert [each.values[name] for name in LOCALISATION_METRICS] == pytest.approx([1, 1, 1, 1])
    unknown = np.full_like(truth, IGNORED)
    for each in evaluate_image(network, image, "a.png", SETTINGS, unknown):
        assert all(math.isnan(each.values[name]) for name in LOCALISATION_METRICS)
    with pytest.raises(UserError, match="label 7"):
        evaluate_image(network, image, "a.png", SETTINGS, truth + 6 * (truth > 0))
    with pytest.raises(UserError, match="one size"):
        evaluate_image(network, image, "a.png", SETTINGS, truth[:-1])


def test_what_is_not_defined_stays_so(network):
    """Of a target that is the whole image nothing lies outside, so nothing can leak; without masks nothing is found."""
    image = 0.5 + image_of(0) / 2
    found = evaluate_image(network, image, "a.png", replace(SETTINGS, kind="class"))
    assert len(found) == 2 + len(CONTROLS)
    for each in found:
        assert math.isnan(each.values["leakage"])
        assert math.isnan(each.values["mass_inside"])
        assert math.isfinite(each.values["deletion"])
    rows = summarise(found, METRICS)
    assert all(row.targets == 0 and row.rank == 0 for row in rows if row.metric in ("leakage", "mass_inside"))
    assert "has no value in Leakage, Mass inside" in in_words(rows)[0]


def test_an_image_is_drawn_for_by_its_name_and_the_seed(network):
    def targets(name, seed=0):
        found = evaluate_image(network, image_of(0), name, replace(SETTINGS, metrics=("deletion",), seed=seed))
        return [(each.description, each.seed, each.values["deletion"]) for each in found if each.candidate == "random"]

    assert targets("a.png") == targets("a.png")
    assert targets("a.png") != targets("b.png")
    assert targets("a.png") != targets("a.png", 1)
    assert len({seed for _, seed, _ in targets("a.png")}) == 2


def test_progress_counts_up_to_its_total(network):
    seen = []
    evaluate_image(network, image_of(0), "a.png", SETTINGS, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len({total for _, total in seen}) == 1
    assert seen[-1][0] == seen[-1][1]


def test_rows_are_plain_values(network):
    found = evaluate_image(network, image_of(0), "a.png", replace(SETTINGS, metrics=("deletion",)))
    assert json.loads(json.dumps(found[0].as_row()))["candidate"] == "gradient"
    assert json.loads(json.dumps(asdict(summarise(found, ["deletion"])[0])))["metric"] == "deletion"


def read_back(*tables):
    """Through the bytes of CSV files, as a user does it."""
    rows = [table.as_row() for found in tables for table in found]
    return measurements_from(list(csv.DictReader(io.StringIO(csv_bytes(rows).decode()))))


def test_tables_are_made_again_from_the_rows_alone():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    network = Segmenter(layers, in_channels=3, class_names=("sky", "wall", "lamp"))
    options = replace(SETTINGS, methods=("gradient", "seg_grad_cam"), metrics=("leakage", "deletion", "mass_inside"))
    found = evaluate_image(network, np.random.default_rng(0).random((3, 16, 16), dtype=np.float32), "a, b.png", options)
    again = read_back(found)
    np.testing.assert_equal([asdict(each) for each in again], [asdict(each) for each in found])  # NaN equals NaN here
    np.testing.assert_equal(
        [asdict(row) for row in summarise(again, options.metrics)],
        [asdict(row) for row in summarise(found, options.metrics)],
    )
    assert {each.candidate: each.layer for each in found} == {
        "seg_grad_cam": layer_advice(network, (16, 16)).suggested,
        "gradient": "",
    } | dict.fromkeys(CONTROLS, "")


def test_runs_are_joined_by_their_rows():
    one = [measured("a", name, 1.0) for name in ("edges", "gradient")]
    other = [measured("b", name, 3.0, metric="insertion") for name in ("edges", "gradient")]
    rows = summarise(read_back(one, other), ["deletion", "insertion"])
    assert [(row.mean, row.targets) for row in rows] == [(1, 1), (1, 1), (3, 1), (3, 1)]
    assert {row.title for row in rows} == {"Gradient", "Edge detector"}
    # The same image with other targets is one image still.
    rows = summarise(read_back(one, [replace(each, seed=1) for each in one]), ["deletion"])
    assert {(row.targets, row.images) for row in rows} == {(2, 1)}
    with pytest.raises(UserError, match="Edge detector is there twice for target 0 of a"):
        read_back(one, one)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": "one"}, "Row 1 .*'one'"),
        ({"is_control": "maybe"}, "maybe"),
        ({"deletion": "x"}, "'x'"),
        (None, "image"),
    ],
)
def test_rows_that_are_not_of_a_benchmark(changed, message):
    row = {name: str(value) for name, value in measured("a", "edges", 1.0).as_row().items()}
    with pytest.raises(UserError, match=message):
        measurements_from([{} if changed is None else row | changed])


@pytest.mark.parametrize("wrong", [{"n_targets": 0}, {"seed": -1}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(UserError):
        BenchmarkSettings(**wrong)
