import csv
import importlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import LocalCluster
from PIL import Image

from core import load_segmenter
from core.attribution.cam import layer_advice
from core.trust import default_metrics
from core.trust.controls import CONTROLS
from tests.cli.conftest import SIZE
from tests.networks import OneChannel
from tests.trust.made_up import made_up_metric

STEMS = ("first", "second")
METHODS = ("gradient", "occlusion")
LOCALISATION_METRICS = ("mass_inside", "top_k", "pointing_game", "localisation_auc")
LAYERED = """
import torch
from torch import nn

def layered():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    return Segmenter(network, in_channels=1, class_names=("sky", "wall", "lamp"), name="layered")
"""
FAST = ("--methods", ",".join(METHODS), "--steps", 3, "--subsets", 8, "--seed", 1)


@pytest.fixture
def network(network, tmp_path):
    with (tmp_path / "code" / "own_network.py").open("a") as file:
        file.write(LAYERED)
    return network


@pytest.fixture
def data(data):
    """Two images, and masks that say what the network predicts: bright where the intensity is above 1/3."""
    for folder in ("images", "masks"):
        (data / folder / "third.png").unlink()
    for stem in STEMS:
        pixels = np.asarray(Image.open(data / "images" / f"{stem}.png"))
        Image.fromarray(((pixels > 85) * 255).astype(np.uint8)).save(data / "masks" / f"{stem}.png")
    return data


@pytest.fixture
def command(shell, network, data, out):
    def run(*arguments: object) -> tuple[int, str, str]:
        return shell("evaluate", "--model", network, "--images", data, "--out", out, "--device", "cpu", *arguments)

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_tables_figure_and_words(command, data, out, network):
    code, printed, err = command(*FAST, "--masks", data / "masks", "--targets-per-image", 2, "--space", "logit")
    assert code == 0
    assert "4 targets in 2 of 2 images (all)" in err
    assert {path.name for path in out.iterdir()} == {"targets.csv", "summary.csv", "summary.json", "figure.html"}

    candidates = [*METHODS, *CONTROLS]
    rows = rows_of(out / "targets.csv")
    assert [(row["image"], row["target"], row["candidate"]) for row in rows] == [
        (f"{stem}.png", str(target), name) for stem in STEMS for target in (0, 1) for name in candidates
    ]
    metrics = [*default_metrics(), *LOCALISATION_METRICS]
    for row in rows:
        assert re.fullmatch(r"patch of bright at \(\d+, \d+\), \d+ pixels", row["description"])
        assert (row["is_control"] == "True") == (row["candidate"] in CONTROLS) == (row["seconds"] == "")
        if row["candidate"] == "gradient":  # of a linear network, all that it says is true
            assert float(row["infidelity"]) == pytest.approx(0, abs=1e-9)
            assert float(row["sensitivity_n"]) == pytest.approx(1)
            assert float(row["top_k"]) == 1
        assert row["layer"] == ""
        assert all(row[metric] for metric in LOCALISATION_METRICS)

    summary = json.loads((out / "summary.json").read_text())
    found = {(row["candidate"], row["metric"]): row for row in summary["summary"]}
    assert set(found) == {(name, metric) for name in candidates for metric in metrics}
    for (name, metric), row in found.items():
        values = [float(row[metric]) for row in rows if row["candidate"] == name and row[metric]]
        assert (row["targets"], row["images"]) == (len(values), 2 if values else 0)
        if values:
            assert row["mean"] == pytest.approx(np.mean(values))
            assert row["low"] <= row["mean"] + 1e-12
            assert row["mean"] <= row["high"] + 1e-12
        else:
            assert row["mean"] is row["low"] is None
    best = min(CONTROLS, key=lambda name: found[name, "deletion"]["mean"])
    gradient = found["gradient", "deletion"]
    assert gradient["best_control"] == best
    assert gradient["difference"] == pytest.approx(gradient["mean"] - found[best, "deletion"]["mean"])
    assert gradient["seconds"] > 0
    assert found["centre_distance", "mass_inside"]["targets"] == 4
    assert len(rows_of(out / "summary.csv")) == len(found)

    assert summary["weights_sha256"] == load_segmenter(network, "cpu").weights_hash
    assert (summary["images"], summary["targets"], summary["failed"]) == (2, 4, {})
    assert (summary["settings"]["seed"], summary["settings"]["methods"]) == (1, list(METHODS))
    assert summary["verdicts"]["corrected_for_many_comparisons"] is False
    evaluation = summary["settings"]["evaluation"]
    assert (evaluation["n_steps"], evaluation["n_subsets"], evaluation["cell"]) == (3, 8, 8)
    assert summary["layers"] == []
    assert summary["libraries"]["torch"] == torch.__version__.split("+")[0]
    assert "take at least 6" in summary["caution"]
    assert "take at least 6" in printed
    assert "Gradient beats its controls in nothing; cannot be told" in printed

    page = (out / "figure.html").read_text()
    assert "Deletion (lower is better)" in page
    assert "Distance to the target" in page
    assert len(page) > 1_000_000  # Plotly itself is inside
    assert not re.search(r"<script[^>]+src=", page)


def test_six_images_tell_a_true_map_from_a_control(command, data):
    generator = np.random.default_rng(1)
    for index in range(4):
        pixels = generator.integers(0, 256, SIZE, dtype=np.uint8)
        Image.fromarray(pixels).save(data / "images" / f"more_{index}.png")
    options = "--subsets", 64, "--targets-per-image", 3, "--metrics", "sensitivity_n", "--space", "logit", "--markdown"
    code, printed, _ = command(*FAST, *options)
    assert code == 0
    lines = printed.splitlines()
    assert lines[:2] == ["| Method | Sensitivity-n ↑ | Seconds per map |", "| --- | --: | --: |"]
    assert lines[2].startswith("| Gradient | 1 [1, 1] + | ")
    assert "- Gradient beats its controls in Sensitivity-n." in lines
    assert "take at least" not in printed


def test_methods_have_their_aliases_and_the_option_that_of_explain(command, out):
    code, _, err = command("--method", "ig,gradient", "--metrics", "deletion", "--steps", 2)
    assert code == 0, err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["methods"] == ["integrated_gradients", "gradient"]
    assert (summary["settings"]["seed"], summary["schema_version"]) == (0, 2)


def test_settings_of_the_methods_are_options_but_those_of_the_tests(command, out):
    printed = " ".join(command("--help")[1].split())
    assert "--n-samples <int> Number of noisy copies. For smoothgrad. [default: 16]" in printed
    assert [printed.count(f"{option} <") for option in ("--steps", "--fill", "--seed", "--baseline")] == [1, 1, 1, 0]
    options = "--methods", "gradient,smoothgrad", "--metrics", "deletion", "--steps", 2
    assert command(*options, "--n-samples", 3, "--noise", 0.5)[0] == 0
    explained = json.loads((out / "summary.json").read_text())["settings"]["explain"]
    assert (explained["n_samples"], explained["noise"]) == (3, 0.5)
    code, _, err = command("--methods", "gradient", "--n-samples", 3)
    assert (code, err) == (2, "Error: Only smoothgrad has --n-samples; leave it out, or choose that method.\n")


def test_a_suggested_layer_is_named(command, out, network):
    weights = network.replace("bright", "layered")
    options = "--weights", weights, "--methods", "gradient,seg_grad_cam", "--metrics", "deletion", "--steps", 3
    assert command(*options)[0] == 0
    layer = layer_advice(load_segmenter(weights, "cpu"), SIZE).suggested
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["settings"]["explain"]["layer"], summary["layers"]) == (None, [layer])
    layers = {row["candidate"]: row["layer"] for row in rows_of(out / "targets.csv")}
    assert layers == dict.fromkeys(("gradient", *CONTROLS), "") | {"seg_grad_cam": layer}


def dice_as_the_dark_turns_bright(pixels: str) -> float:
    """The area under 2 b / (2 b + f d) for b bright and d dark pixels, after the fractions f of three quadratic steps.

    Blurred noise is about 0.5 everywhere, and so bright: every pixel that goes is one more that was not there before,
    in whatever order they go.
    """
    bright = int(pixels)
    fractions = np.array([0, 1, 4, 9]) / 9
    return float(np.trapezoid(2 * bright / (2 * bright + fractions * (SIZE[0] * SIZE[1] - bright)), fractions))


@pytest.mark.parametrize("targets", ["point", "component", "class"])
def test_other_targets_scores_and_fills(command, out, targets):
    options = "--targets", targets, "--class", "bright", "--score", "dice", "--fill", "blur", "--context-only"
    code, _, _ = command(*FAST, *options, "--metrics", "deletion,leakage", "--samples", 1)
    assert code == 0
    rows = rows_of(out / "targets.csv")
    assert {row["image"] for row in rows} == {rows[0]["image"]}
    assert all(row["description"].startswith(f"{targets} of bright") for row in rows)
    for row in rows:
        if targets == "class":
            assert float(row["deletion"]) == pytest.approx(dice_as_the_dark_turns_bright(row["pixels"]), abs=1e-3)
        else:  # the target stays as it is, and a network of single pixels knows nothing of what is around it
            assert float(row["deletion"]) == 1
    summary = json.loads((out / "summary.json").read_text())
    removal = summary["settings"]["evaluation"]["removal"]
    assert (removal["score"], removal["fill"], removal["context_only"]) == ("dice", "blur", True)
    assert summary["settings"]["class_index"] == 1
    assert summary["selection"] == "1 of 2, drawn with seed 1"


def test_an_image_that_fails_stops_no_other(command, data, out):
    Image.new("L", SIZE[::-1]).save(data / "images" / "black.png")
    (data / "images" / "broken.png").write_bytes(b"not a picture")
    code, _, err = command(*FAST, "--metrics", "deletion")
    assert code == 0
    lines = err.splitlines()
    assert lines[0].startswith("black failed: Nothing but background is predicted")
    assert lines[1].startswith("broken failed: broken.png is not a PNG")
    assert "2 targets in 2 of 4 images" in lines[2]
    assert set(json.loads((out / "summary.json").read_text())["failed"]) == {"black", "broken"}


def test_ctrl_c_leaves_what_is_done(command, monkeypatch, out):
    module = importlib.import_module("core.cli.evaluate")
    whole = module.evaluate_image

    def stopped(segmenter, image, name, *rest):
        if name == "second.png":
            raise KeyboardInterrupt
        return whole(segmenter, image, name, *rest)

    monkeypatch.setattr(module, "evaluate_image", stopped)
    assert command(*FAST, "--metrics", "deletion")[0] == 130
    assert {row["image"] for row in rows_of(out / "targets.csv")} == {"first.png"}
    assert json.loads((out / "summary.json").read_text())["images"] == 1
    assert (out / "figure.html").is_file()


def test_a_dask_worker_gives_the_tables_of_one_process(command, data, out):
    """But for the seconds, which are never the same."""
    (data / "images" / "broken.png").write_bytes(b"not a picture")
    options = *FAST, "--masks", data / "masks", "--targets-per-image", 2
    threads = torch.get_num_threads()
    assert command(*options, "--out", out / "alone")[0] == 0
    try:
        with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
            code, _, err = command(*options, "--out", out / "spread", "--scheduler", cluster.scheduler_address)
    finally:
        torch.set_num_threads(threads)
    assert code == 0
    assert "broken failed" in err
    alone, spread = (rows_of(out / name / "targets.csv") for name in ("alone", "spread"))
    assert len(alone) == len(spread) == 4 * (len(METHODS) + len(CONTROLS))
    for one, two in zip(alone, spread, strict=True):
        for name in set(one) - {"seconds"}:
            same = one[name] == two[name] or math.isclose(
                float(one[name]), float(two[name]), rel_tol=1e-5, abs_tol=1e-7
            )
            assert same, name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "gradent"], 'There is no method "gradent"; there are gradient, '),
        (["--methods", "gradient,smooth_grad"], 'There is no method "smooth_grad"; there are smoothgrad, '),
        (["--metrics", "insert"], 'There is no metric "insert"; there are insertion, '),
        (["--metrics", ","], "Name at least one metric"),
        (["--steps", "0"], "at least one step; 0"),
        (["--steps", "few"], '--steps is a whole number; "few"'),
        (["--subsets", "3"], "at least 4 subsets"),
        (["--metrics", "deletion,top_k"], "Top-k needs to know where the objects are; give --masks"),
        (["--samples", "0"], "At least one sample"),
        (["--samples", "1", "--seed", "-1"], "A seed is a whole number"),
        (["--targets-per-image", "0"], "At least one target"),
        (["--class", "roof"], 'no class "roof"; its classes are 0 dark, 1 bright'),
        (["--masks", "nothing"], "There is no folder nothing"),
    ],
)
def test_mistakes_end_in_one_sentence(command, out, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, err = command(*options)
    assert (code, printed) == (2, "")
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_a_class_that_no_image_has(command, data, out, monkeypatch):
    monkeypatch.setattr(OneChannel, "forward", lambda _self, images: images[:, :1] * 0 - 1)
    code, _, err = command(*FAST, "--class", "bright")
    assert code == 2
    last = err.splitlines()[-1]
    assert last.startswith("Error: None of the 2 images could be evaluated: No pixel is predicted as class 1 (bright)")
    summary = json.loads((out / "summary.json").read_text())
    assert (set(summary["failed"]), summary["summary"]) == (set(STEMS), [])
    assert not (out / "targets.csv").exists()


def test_help_has_an_example(command):
    code, printed, _ = command("--help")
    assert code == 0
    assert re.search(r"Example: .*\w evaluate --model", printed)


def test_a_metric_that_is_only_registered_is_in_the_help_and_in_the_tables(command, out):
    with made_up_metric():
        # The help is made when the command runs.
        code, printed, _ = command("--help")
        assert code == 0
        assert "peak" in printed
        assert "--factor" in printed
        assert "What the peak is multiplied by." in " ".join(printed.split())
        assert command(*FAST, "--metrics", "peak,deletion", "--factor", 5)[0] == 0
    rows = rows_of(out / "targets.csv")
    assert {row["candidate"] for row in rows} == {*METHODS, *CONTROLS}
    assert all(float(row["peak"]) >= 0 and row["deletion"] for row in rows)
    random = [float(row["peak"]) for row in rows if row["candidate"] == "random"]
    assert min(random) > 4.9, "noise from 0 to 1, five times"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["evaluation"]["factor"] == 5
    assert {row["metric"] for row in summary["summary"]} == {"peak", "deletion"}
    code, _, err = command("--metrics", "peak")
    assert code == 2
    assert 'There is no metric "peak"' in err
