import csv
import importlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import core.cli
from core import Target, read_image
from core.attribution.attribution import make_attribution
from core.attribution.cam import layer_advice
from core.attribution.registry import METHODS, Method, register
from core.attribution.settings import setting
from core.cli import COMMANDS, app, imported_command
from core.cli.options import Question
from tests.cli.conftest import SIZE, STEMS

SCENE = Path(core.cli.__file__).resolve().parents[2] / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"


@pytest.fixture
def made_up():
    """A method that only this test knows: the image times a factor."""

    @register
    class MadeUp(Method):
        name, title, kind, sentence = "made_up", "Made up", "contribution", "The image, times a factor."

        @dataclass(frozen=True)
        class Settings:
            factor: float = setting(2.0, help="Factor of the made-up method.")

        def run(self, segmenter, image, target, settings, progress=None):
            values = settings.factor * torch.as_tensor(image)
            return make_attribution(values, segmenter, image, target, self.name, vars(settings), 0.0)

    yield
    del METHODS["made_up"]


@pytest.fixture
def command(shell, network, out):
    def run(*arguments: object) -> tuple[int, str, str]:
        given = () if "--out" in arguments else ("--out", out)
        return shell(*arguments, "--model", network, "--device", "cpu", *given)

    return run


def _is_pixel(image, row, column):
    return np.arange(image.size) == row * SIZE[1] + column


def rows_of(out):
    with (out / "statistics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_registered_method_has_its_option_and_runs(command, data, out, made_up):
    printed = " ".join(CliRunner().invoke(app, ["explain", "--help"]).output.split())
    assert "made_up" in printed
    assert re.search(r"--factor <float> Factor of the made-up method. For made_up. \[default: 2.0\]", printed)
    path = data / "images" / "first.png"
    code, printed, err = command("explain", "--image", path, "--method", "made_up", "--factor", 0.5)
    assert (code, err) == (0, "")
    assert "first.png, made_up: attribution ratio" in printed
    folder = out / "first" / "made_up"
    np.testing.assert_allclose(np.load(folder / "values.npy"), 0.5 * read_image(path))
    assert json.loads((folder / "manifest.json").read_text())["parameters"] == {"factor": 0.5}
    assert (folder / "overlay.png").is_file()
    command("explain", "--image", path, "--method", "made_up")
    np.testing.assert_allclose(np.load(folder / "values.npy"), 2 * read_image(path))


def test_without_it_there_is_no_such_option():
    assert "--factor" not in CliRunner().invoke(app, ["explain", "--help"]).output


@pytest.mark.parametrize("name", COMMANDS)
def test_no_two_options_of_a_command_have_one_name(name):
    options = [option for parameter in imported_command(name).params for option in parameter.opts]
    assert len(options) == len(set(options))


def test_same_names_for_the_same_things():
    options = {name: {option for own in imported_command(name).params for option in own.opts} for name in COMMANDS}
    for name in ("predict", "explain", "ig", "cam", "jacobian", "evaluate"):
        assert options[name] >= {"--model", "--weights", "--images", "--out", "--device", "--scaling", "--grey"}
    for name in ("explain", "ig", "cam", "evaluate"):
        assert options[name] >= {"--class", "--masks", "--scheduler"}
    assert options["jacobian"] >= {"--class", "--scheduler"}


def test_several_methods_over_a_folder(command, data, out):
    """The network's logits are 3 · image - 1, so every gradient is 3 where the class is explained."""
    methods = "gradient,smoothgrad,gradient_x_input,ig"
    options = "--class", "bright", "--space", "logit", "--steps", 1, "--masks", data / "masks", "--n-samples", 2
    code, printed, err = command("explain", "--images", data, "--method", methods, *options)
    assert (code, err) == (0, "")
    assert "3 of 3 images (all); averages in summary.json" in printed
    names = ["gradient", "smoothgrad", "gradient_x_input", "integrated_gradients"]
    rows = rows_of(out)
    assert [(row["image"], row["method"]) for row in rows] == [(f"{s}.png", name) for s in STEMS for name in names]
    files = {"values.npy", "signed.png", "magnitude.png", "overlay.png", "statistics.json", "manifest.json"}
    for stem in STEMS:
        image = read_image(data / "images" / f"{stem}.png")
        expected = dict.fromkeys(names[:2], np.full_like(image, 3)) | dict.fromkeys(names[2:], 3 * image)
        assert {path.name for path in (out / stem).iterdir()} == set(names)
        for name in names:
            assert {path.name for path in (out / stem / name).iterdir()} == files
            np.testing.assert_allclose(np.load(out / stem / name / "values.npy"), expected[name], atol=1e-5)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["methods"] == names
    assert summary["averages"]["gradient"]["mean"]["mean"] == pytest.approx(3)
    assert summary["averages"]["gradient"]["truth_area"]["images"] == 3
    assert "convergence_percent" not in summary["averages"]["gradient"]
    assert summary["averages"]["integrated_gradients"]["convergence_percent"]["mean"] < 1e-3
    assert summary["settings"]["smoothgrad"]["n_samples"] == 2
    assert summary["settings"]["target"]["pixel_set"] == {"name": "image"}


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--pixel-set", "class", "--class", 1], lambda image: image > 1 / 3),
        (["--pixel-set", "point", "--row", 5, "--column", 7, "--class", 1], lambda image: _is_pixel(image, 5, 7)),
        (["--row", 5, "--column", 7, "--class", 1], lambda image: _is_pixel(image, 5, 7)),
        (["--box", "0,0,1,31", "--class", 1], lambda image: np.arange(image.size) < 2 * SIZE[1]),
        (["--pixel-set", "true_positives", "--class", 1], lambda image: image > 127 / 255),
        (["--pixel-set", "zero"], lambda image: image < 0),
        ([], lambda image: image > 1 / 3),  # the whole prediction; where dark is predicted, its logit is always 0
    ],
)
def test_targets(command, data, out, options, chosen):
    path = data / "images" / "first.png"
    code, _, err = command("explain", "--image", path, "--method", "gradient", "--space", "logit", *options)
    assert (code, err) == (0, "")
    image = read_image(path)
    expected = np.where(np.reshape(chosen(image), image.shape), 3.0, 0.0)
    np.testing.assert_allclose(np.load(out / "first" / "gradient" / "values.npy"), expected, atol=1e-6)


def test_short_forms_give_the_values_of_explain(command, data, tmp_path):
    path = data / "images" / "second.png"
    options = "--image", path, "--steps", 5, "--baseline", "blur", "--sigma", 2, "--row", 3, "--column", 4
    assert command("ig", *options, "--out", tmp_path / "short")[0] == 0
    assert command("explain", "--method", "ig", *options, "--out", tmp_path / "long")[0] == 0
    short, long = tmp_path / "short" / "second", tmp_path / "long" / "second" / "integrated_gradients"
    np.testing.assert_array_equal(np.load(short / "values.npy"), np.load(long / "values.npy"))
    one, two = (json.loads((folder / "statistics.json").read_text()) for folder in (short, long))
    assert two.pop("method") == "integrated_gradients"
    one.pop("seconds"), two.pop("seconds")
    assert one == two


def test_samples_are_drawn_with_a_seed_whatever_the_method(command, data, out):
    for method in ("gradient", "smoothgrad"):
        options = "--images", data, "--method", method, "--samples", 1, "--n-samples", 2
        options = options if method == "smoothgrad" else options[:-2]
        drawn = set()
        for seed in range(8):
            assert command("explain", *options, "--seed", seed)[0] == 0
            drawn |= {row["image"] for row in rows_of(out)}
        assert len(drawn) > 1
        summary = json.loads((out / "summary.json").read_text())
        assert summary["selection"] == "1 of 3, drawn with seed 7"
    assert summary["settings"]["smoothgrad"]["seed"] == 7
    assert summary["schema_version"] == 2


def test_cam_gives_the_values_of_explain(monkeypatch, tmp_path, data, shell):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1))
    segmenter = core.Segmenter(module, in_channels=1, name="layered")
    monkeypatch.setattr(Question, "load", lambda *_: segmenter)
    options = "--model", "layered", "--layer", "1", "--class", "1", "--pixel-set", "image", "--space", "log_odds"
    for name, methods in (("cam", "seg_xres_cam"), ("explain", "seg_xres_cam,score_cam")):
        given = ("--images", data, "--method", methods, "--window", "2,3", "--out", tmp_path / name)
        code, _, err = shell(name, *options, *given)
        assert code == 0, err
    folder = tmp_path / "cam" / "layered" / "visualizations" / "data" / "seg_xres_cam_image" / "1"
    for stem in STEMS:
        found = tmp_path / "explain" / stem
        short, long = np.load(folder / f"{stem}_class_1_values.npy"), np.load(found / "seg_xres_cam" / "values.npy")
        np.testing.assert_array_equal(short, long)
        expected = Image.open(folder / f"{stem}_class_1_overlay.png")
        np.testing.assert_array_equal(Image.open(found / "seg_xres_cam" / "overlay.png"), expected)
        assert (found / "score_cam" / "values.npy").is_file()
        assert not (found / "score_cam" / "statistics.json").exists()  # its pixels are those of a layer
    summary = json.loads((tmp_path / "explain" / "summary.json").read_text())
    assert summary["layers"] == ["1"]
    image = read_image(data / "images" / "first.png")
    target = Target.region(np.ones(image.shape[1:]), 1, "log_odds")
    direct = core.attribution.cam(segmenter, image, target, "1", "seg_xres_cam", window=(2, 3))
    np.testing.assert_array_equal(np.load(folder / "first_class_1_values.npy"), direct.values)


def test_the_summary_names_the_layer_that_was_suggested(monkeypatch, command, data, out):
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1))
    segmenter = core.Segmenter(module, in_channels=1, name="layered")
    monkeypatch.setattr(Question, "load", lambda *_: segmenter)
    code, _, err = command("explain", "--images", data, "--methods", "gradient,seg_grad_cam", "--class", 1)
    assert (code, err) == (0, "")
    layer = layer_advice(segmenter, SIZE).suggested
    assert json.loads((out / "summary.json").read_text())["layers"] == [layer]
    layers = {row["method"]: row["layer"] for row in rows_of(out)}
    assert layers == {"gradient": "", "seg_grad_cam": layer}


def test_an_image_that_fails_is_listed_and_the_others_go_on(command, data, out):
    whole = (data / "images" / "second.png").read_bytes()
    (data / "images" / "second.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", SIZE[::-1]).save(data / "images" / "third.png")
    code, printed, err = command("explain", "--images", data, "--method", "gradient")
    assert code == 0
    assert "1 of 3 images" in printed
    lines = dict(line.split(" failed: ") for line in err.splitlines())
    assert list(lines) == ["second", "third"]
    assert "is broken or cut off" in lines["second"]
    assert "add --grey" in lines["third"]
    assert json.loads((out / "summary.json").read_text())["failed"] == lines
    code, printed, err = command("explain", "--images", data, "--method", "gradient", "--grey")
    assert (code, len(err.splitlines())) == (0, 1)
    assert "2 of 3 images" in printed


def test_ctrl_c_leaves_the_tables_of_what_is_done(command, data, out, monkeypatch):
    module = importlib.import_module("core.cli.explain")
    whole = module.statistics
    done = []

    def stopped(*arguments):
        done.append(arguments)
        if len(done) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(module, "statistics", stopped)
    assert command("explain", "--images", data, "--method", "gradient")[0] == 130
    assert [row["image"] for row in rows_of(out)] == ["first.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "gradent"], 'no method "gradent"; there are gradient, '),
        (["--method", "ig,,smooth_grad"], 'no method "smooth_grad"; there are smoothgrad, '),
        (["--method", ","], "Name at least one method"),
        (["--method", "smoothgrad", "--n-samples", "many"], '--n-samples is a whole number; "many" was given'),
        (["--method", "gradient", "--n-samples", 3], "Only smoothgrad has --n-samples"),
        (["--method", "ig", "--rule", "middle"], '--rule is gausslegendre, .* "middle" was given'),
        (["--method", "ig", "--seed", "-1", "--baseline", "random"], "A seed is a whole number from 0 on"),
        (["--method", "gradient", "--class", "roof"], 'no class "roof"; its classes are 0 dark, 1 bright'),
        (["--method", "gradient", "--pixel-set", "border"], "border needs to know of which class"),
        (["--method", "gradient", "--seed", 1], "Only .*smoothgrad.* have --seed; leave it out, or choose one of them"),
        (
            ["--method", "gradient", "--box", "0,0,3,3", "--row", 2, "--column", 2],
            "a box or a lasso; --row and --column and --box were",
        ),
        (["--method", "gradient", "--box", "0,0,3,3", "--lasso", "1,1 1,9 9,1"], "--box and --lasso were given"),
        (
            ["--method", "gradient", "--pixel-set", "image", "--row", 2, "--column", 2],
            "image does not use --row and --c",
        ),
        (["--method", "gradient", "--pixel-set", "point", "--box", "0,0,3,3"], "point does not use --box"),
        (["--method", "gradient", "--pixel-set", "box", "--lasso", "1,1 1,9 9,1"], "box does not use --lasso"),
        (["--method", "gradient", "--box", "1,2,3"], "The box is 4 whole numbers"),
        (["--method", "gradient", "--lasso", "1,2 3"], "The lasso is corners"),
        (["--method", "gradient", "--samples", 2], "Samples are taken of a folder"),
        (["--method", "gradient", "--images", "."], "either --image FILE or --images FOLDER"),
        (["--method", "seg_grad_cam"], "No layer of bright gives a map"),
    ],
)
def test_mistakes_end_in_one_sentence(command, data, out, options, message):
    code, _, err = command("explain", "--image", data / "images" / "first.png", *options)
    assert code == 2
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert re.search(message, err)
    assert not out.exists()


def test_two_images_of_one_stem(command, data, out):
    (data / "images" / "first.tif").write_bytes((data / "images" / "first.png").read_bytes())
    code, _, err = command("explain", "--images", data, "--method", "gradient")
    assert code == 2
    assert "Two images are called first" in err


def test_masks_that_are_needed_are_found_beside_the_images(command, data, out):
    code, _, err = command("explain", "--images", data / "images", "--method", "gradient", "--class", 1,
                           "--pixel-set", "false_positives")  # fmt: skip
    assert (code, err) == (0, "")
    assert len(rows_of(out)) == 3
    for path in (data / "masks").iterdir():
        path.unlink()
    code, _, err = command("explain", "--images", data / "images", "--method", "gradient", "--class", 1,
                           "--pixel-set", "false_positives")  # fmt: skip
    assert code == 2
    assert "masks" in err


def test_a_class_rather_than_another(shell, out):
    """The contrast is the difference of the two classes' own maps, since a gradient is linear."""
    shared = "explain", "--image", SCENE, "--method", "gradient", "--model", "scenes", "--row", 60, "--column", 100
    maps = {}
    for name, options in {
        "contrast": ("--class", "car", "--against", "road"), "car": ("--class", "car"), "road": ("--class", "road"),
    }.items():  # fmt: skip
        code, _, err = shell(*shared, *options, "--out", out / name)
        assert (code, err) == (0, "")
        maps[name] = np.load(out / name / SCENE.stem / "gradient" / "values.npy")
    np.testing.assert_allclose(maps["contrast"], maps["car"] - maps["road"], atol=1e-4 * np.abs(maps["car"]).max())
    target = json.loads((out / "contrast" / SCENE.stem / "gradient" / "manifest.json").read_text())["target"]
    assert (target["space"], target["against"]) == ("logit", 0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--class", "car", "--against", "car"), "cannot be explained against itself"),
        (("--against", "lorry"), 'no class "lorry"'),
        (("--class", "predicted", "--pixel-set", "class"), "needs to know of which class"),
    ],
)
def test_a_wrong_contrast_is_one_sentence(shell, out, options, sentence):
    code, _, err = shell(
        "explain", "--image", SCENE, "--method", "gradient", "--model", "scenes", "--out", out, *options
    )
    assert code == 2
    assert sentence in " ".join(err.split())
