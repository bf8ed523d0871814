import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core import load_segmenter, read_image
from core.io.tables import averages, csv_bytes
from tests.cli.conftest import SIZE, STEMS


@pytest.fixture
def command(shell, network, out):
    def run(*arguments: object) -> tuple[int, str, str]:
        return shell("ig", "--weights", network, "--out", out, "--device", "cpu", *arguments)

    return run


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "statistics.csv").open() as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_the_files_of_one_image(command, data, out):
    """Of the whole prediction, a pixel counts 3 · intensity where bright is predicted: where it is above 1/3."""
    path = data / "images" / "first.png"
    code, printed, err = command("--image", path, "--space", "logit", "--steps", 1, "--masks", data / "masks")
    assert (code, err) == (0, "")
    assert "first.png: 1 steps" in printed
    folder = out / "first"
    names = {"values.npy", "signed.png", "magnitude.png", "overlay.png", "statistics.json", "manifest.json"}
    assert {file.name for file in folder.iterdir()} == names
    assert {file.name for file in out.iterdir()} == {"first"}
    image = read_image(path)
    expected = np.where(image > 1 / 3, 3 * image, 0)
    np.testing.assert_allclose(np.load(folder / "values.npy"), expected, atol=1e-6)
    for name in ("signed", "magnitude", "overlay"):
        assert Image.open(folder / f"{name}.png").size == SIZE[::-1]
    found = json.loads((folder / "statistics.json").read_text())
    assert found["mean"] == pytest.approx(expected.mean(), rel=1e-5)
    assert found["predicted_area"] == (image > 1 / 3).sum()
    assert found["truth_area"] == (image > 127 / 255).sum()
    assert found["convergence_percent"] < 1e-3
    assert found["map_error_percent"] is None  # a single step tells nothing
    assert found["score_difference"] == pytest.approx(expected.sum(), rel=1e-5)
    assert set(found["how_to_read"]) == {"predicted", "truth"}
    # Outside the predicted region the map is 0, so there is no ratio; JSON has no NaN.
    assert found["predicted_ratio"] is None
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["parameters"]["baseline"], manifest["parameters"]["n_steps"]) == ("zero", 1)


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--class", "bright"], lambda image: np.ones_like(image, bool)),
        (["--class", "1", "--region", "class"], lambda image: image > 1 / 3),
        (["--row", 5, "--column", 7, "--class", "bright"], lambda image: np.arange(image.size) == 5 * SIZE[1] + 7),
        (["--class", "dark"], lambda image: np.zeros_like(image, bool)),
    ],
)
def test_targets(command, data, out, options, chosen):
    path = data / "images" / "first.png"
    assert command("--image", path, "--space", "logit", "--steps", 1, *options)[0] == 0
    image = read_image(path)
    expected = np.where(np.reshape(chosen(image), image.shape), 3 * image, 0)
    np.testing.assert_allclose(np.load(out / "first" / "values.npy"), expected, atol=1e-6)


def test_the_class_of_a_pixel_is_by_default_the_predicted_one(command, data, out):
    path = data / "images" / "first.png"
    image = read_image(path)
    for wanted, pixel in (("bright", image[0].argmax()), ("dark", image[0].argmin())):
        row, column = divmod(int(pixel), SIZE[1])
        assert command("--image", path, "--row", row, "--column", column)[0] == 0
        manifest = json.loads((out / "first" / "manifest.json").read_text())
        assert manifest["target"]["class_index"] == ("dark", "bright").index(wanted)


@pytest.mark.parametrize("baseline", ["mean", "blur", "random", "image"])
def test_baselines(command, data, out, baseline):
    """A linear network's values are 3 · (image - baseline), of random ones on average."""
    path, other = data / "images" / "first.png", data / "images" / "second.png"
    given = other if baseline == "image" else baseline
    options = "--space", "logit", "--steps", 1, "--class", 1, "--draws", 64, "--seed", 3, "--sigma", 1e-3
    assert command("--image", path, "--baseline", given, *options)[0] == 0
    image = read_image(path)
    expected = {
        "mean": 3 * (image - image.mean()),
        "blur": np.zeros_like(image),  # so narrow a blur changes nothing
        "random": 3 * (image - 0.5),
        "image": 3 * (image - read_image(other)),
    }[baseline]
    # A mean of 64 uniform numbers is off by 0.29 / 8 on average; six times that is never seen.
    tolerance = 3 * 6 * 0.29 / 8 if baseline == "random" else 1e-5
    np.testing.assert_allclose(np.load(out / "first" / "values.npy"), expected, atol=tolerance)
    parameters = json.loads((out / "first" / "manifest.json").read_text())["parameters"]
    assert parameters["baseline"] == baseline
    if baseline == "random":
        assert (parameters["draws"], parameters["seed"]) == (64, 3)


def test_automatic_steps(command, data, out):
    options = "--image", data / "images" / "first.png", "--space", "probability", "--steps", "auto"
    assert command(*options, "--tolerance", 0.001)[0] == 0
    found = json.loads((out / "first" / "statistics.json").read_text())
    assert found["stopped"] == "tolerance"
    assert found["convergence_percent"] < 0.1
    assert found["map_error_percent"] < 0.1
    assert found["missed"] == ""
    manifest = json.loads((out / "first" / "manifest.json").read_text())
    assert 100 * manifest["map_error"] == pytest.approx(found["map_error_percent"])
    code, printed, _ = command(*options, "--tolerance", 1e-6, "--max-steps", 10)
    assert code == 0
    assert "budget used up before the map and sum reached the tolerance" in printed
    assert "map error about" in printed


def test_a_batch_has_a_table_and_averages(command, data, out):
    (data / "masks" / "second.png").unlink()
    options = "--space", "logit", "--steps", 1, "--class", 1, "--masks", data / "masks"
    code, printed, err = command("--images", data, *options)
    assert (code, err) == (0, "")
    assert "3 of 3 images (all)" in printed
    means = {stem: 3 * float(read_image(data / "images" / f"{stem}.png").mean()) for stem in STEMS}
    rows = rows_of(out)
    assert list(rows) == [f"{stem}.png" for stem in STEMS]
    for stem, mean in means.items():
        assert float(rows[f"{stem}.png"]["mean"]) == pytest.approx(mean, rel=1e-5)
        assert (out / stem / "manifest.json").is_file()
        assert bool(rows[f"{stem}.png"]["truth_area"]) == (stem != "second")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["images"] == 3
    assert summary["averages"]["mean"]["mean"] == pytest.approx(np.mean(list(means.values())), rel=1e-5)
    assert summary["averages"]["mean"]["images"] == 3
    assert summary["averages"]["truth_area"]["images"] == 2
    assert summary["failed"] == {}
    assert "image" not in summary["averages"]


def test_averages_leave_out_what_is_not_defined():
    rows = [
        {"name": "a", "ratio": 2.0, "area": 1},
        {"name": "b", "ratio": math.nan, "area": 2},
        {"name": "c", "ratio": 5.0, "area": 6, "truth": math.nan},
    ]
    assert averages(rows) == {
        "ratio": {"mean": 3.5, "images": 2, "undefined": 1},
        "area": {"mean": 3.0, "images": 3, "undefined": 0},
        "truth": {"mean": None, "images": 0, "undefined": 1},
    }
    assert csv_bytes(rows).decode() == "name,ratio,area,truth\na,2.0,1,\nb,,2,\nc,5.0,6,\n"


def test_samples_are_the_first_or_drawn(command, data, out):
    code, printed, _ = command("--images", data, "--samples", 2, "--steps", 1)
    assert code == 0
    assert "the first 2 of 3 by name" in printed
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["first", "second"]
    drawn = set()
    for seed in range(8):
        assert command("--images", data, "--samples", 1, "--seed", seed, "--steps", 1)[0] == 0
        drawn |= set(rows_of(out))
        again = set(rows_of(out))
        command("--images", data, "--samples", 1, "--seed", seed, "--steps", 1)
        assert set(rows_of(out)) == again
    assert len(drawn) > 1
    assert json.loads((out / "summary.json").read_text())["selection"] == "1 of 3, drawn with seed 7"
    assert "3 of 3 images (all; 9 were asked for)" in command("--images", data, "--samples", 9, "--steps", 1)[1]


def test_failures_are_listed_and_the_others_go_on(command, data, out):
    (data / "images" / "broken.png").write_bytes(b"not a picture")
    Image.new("RGB", (32, 24)).save(data / "images" / "second.png")
    Image.new("L", (9, 9)).save(data / "masks" / "third.png")
    code, printed, err = command("--images", data, "--steps", 1, "--masks", data / "masks")
    assert code == 0
    assert "1 of 4 images" in printed
    lines = dict(line.split(" failed: ") for line in err.splitlines())
    assert list(lines) == ["broken", "second", "third"]
    assert "add --grey" in lines["second"]
    assert "both must be of one size" in lines["third"]
    assert json.loads((out / "summary.json").read_text())["failed"] == lines
    assert list(rows_of(out)) == ["first.png"]


def test_all_failed(command, data, out):
    code, _, err = command("--images", data, "--row", 999, "--column", 0, "--steps", 1)
    assert code == 2
    assert err.splitlines()[-1].startswith("Error: None of the 3 images could be explained: The pixel (999, 0)")
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["images"], set(summary["failed"])) == (0, set(STEMS))
    assert not (out / "statistics.csv").exists()


def test_an_error_inside_the_network_and_memory_that_runs_out(command, data, monkeypatch):
    from tests.networks import OneChannel

    calls = []

    def forward(_self, images):
        if images.requires_grad and images.shape[-2:] != (64, 96):  # the size that a network is examined with
            calls.append(images)
            if len(calls) == 1:
                raise ZeroDivisionError("what a user's network may do")
            if len(calls) == 2:
                raise torch.OutOfMemoryError
        return 3 * images[:, :1] - 1

    monkeypatch.setattr(OneChannel, "forward", forward)
    code, _, err = command("--images", data, "--steps", 1)
    assert code == 0
    first, second = err.splitlines()
    assert first == "first failed: ZeroDivisionError: what a user's network may do"
    assert second.startswith("second failed: Memory ran out in a single pass; crop the image")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--class", "roof"], 'no class "roof"; its classes are 0 dark, 1 bright'),
        (["--class", "2"], 'no class "2"'),
        (["--region", "class"], "needs to know of which class"),
        (["--row", 3], "needs a row and a column"),
        (["--row", 3, "--column", 3, "--class", 1, "--region", "class"], "either a pixel or the region"),
        (["--row", 3, "--column", -1], "counted from 0"),
        (["--steps", "0"], "needs at least 1 steps; 0 were given"),
        (["--steps", "1", "--rule", "trapezoid"], "needs at least 2 steps"),
        (["--steps", "many"], '--steps is auto, or a whole number; "many" was given'),
        (["--steps", "auto", "--rule", "left"], "leave out --rule"),
        (["--steps", "auto", "--tolerance", "0"], "between 0 and 1"),
        (["--steps", "auto", "--max-steps", "0"], "a budget of at least 3; 0 were given"),
        (["--tolerance", "0.1"], "add --steps auto"),
        (["--baseline", "grey"], 'zero, mean, blur, random or an image file; there is no file "grey"'),
        (["--baseline", "small.png"], "The baseline is 1×9×9 .* the image 1×24×32"),
        (["--baseline", "random", "--draws", "0"], "at least one draw"),
        (["--baseline", "blur", "--sigma", "0"], "positive number of pixels"),
        (["--samples", "2"], "Samples are taken of a folder"),
        (["--masks", "nothing"], "There is no folder nothing"),
        (["--scheduler", "tcp://127.0.0.1:9"], "No Dask scheduler answers"),
    ],
)
def test_mistakes_end_in_one_sentence(command, data, out, options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (9, 9)).save("small.png")
    code, _, err = command("--image", data / "images" / "first.png", *options)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(message, err)
    assert not out.exists()


def test_an_empty_region_and_masks_that_fit_no_image(command, data, tmp_path):
    Image.new("L", SIZE[::-1]).save(data / "images" / "first.png")
    code, _, err = command("--image", data / "images" / "first.png", "--class", "bright", "--region", "class")
    assert code == 2
    assert "No pixel is predicted as class 1 (bright); the prediction has the classes 0" in err
    (data / "masks" / "first.png").unlink()
    code, _, err = command("--image", data / "images" / "first.png", "--masks", data / "masks")
    assert code == 2
    assert "has no mask for any of the images" in err


def test_two_dask_workers_give_the_files_of_one_process(command, data, out, network, cluster):
    """The network is shipped, with what was assumed of it; an image that fails there is listed too."""
    (data / "images" / "broken.png").write_bytes(b"not a picture")
    alone, spread = out / "alone", out / "spread"
    options = "--images", data, "--steps", 5, "--masks", data / "masks"
    assert command(*options, "--out", alone)[0] == 0
    code, printed, err = command(*options, "--out", spread, "--scheduler", cluster.scheduler_address)
    assert code == 0
    assert "3 of 4 images" in printed
    assert err.startswith("broken failed: broken.png is not a PNG")
    assert list(rows_of(spread)) == list(rows_of(alone)) == [f"{stem}.png" for stem in STEMS]
    for stem in STEMS:
        expected = np.load(alone / stem / "values.npy")
        np.testing.assert_allclose(np.load(spread / stem / "values.npy"), expected, rtol=1e-5, atol=1e-7)
    one, two = (json.loads((folder / "summary.json").read_text()) for folder in (alone, spread))
    assert one["settings"] == two["settings"]
    assert one["failed"] == two["failed"]
    assert one["averages"]["mean"]["mean"] == pytest.approx(two["averages"]["mean"]["mean"])
    assert load_segmenter(network, "cpu").weights_hash == two["settings"]["weights_sha256"]
