"""Recipes are run as they stand, and give what the library gives."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core import Target, load_segmenter, read_image
from core.attribution import gradient, influence
from core.attribution.registry import explain
from core.cli import app
from core.data.images import read_mask
from core.drawn_regions import DrawnPart
from core.pixel_sets import PixelSet
from core.target import PREDICTED, Score
from widgets.shared.offered_images import sample_images
from widgets.shared.recipes import attribution_recipe, influence_recipe, jacobian_recipe
from widgets.shared.sidebar import Selection
from widgets.shared.sources import PickedImage

ROOT = Path(__file__).resolve().parents[3]
CAR, ROAD = 5, 0
BOX = PixelSet("box", parts=(DrawnPart("box", ((60.2, 80.0), (89.5, 120.0))),))
DRAWN = PixelSet("lasso", parts=(*BOX.parts, DrawnPart("lasso", ((60, 80), (60, 100), (75, 90)), takes_away=True)))


@pytest.fixture(scope="module")
def selection():
    segmenter, sample = load_segmenter("scenes", "cpu"), sample_images()["scenes/scene_00"]
    values = read_image(sample.path)
    truth = read_mask(sample.truth)
    image = PickedImage(values, truth, "scene_00.png", ("uint8",), "hash", sample.address, sample.truth_address)
    return Selection(segmenter, image, Score(PREDICTED, "logit"))


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    """A folder of its own to write to, from which the project's files are found as from its own."""
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)


def target_of(selection: Selection, pixel_set: PixelSet, score: Score, reduction: str) -> Target:
    segmenter, image = selection.segmenter, selection.image
    given = segmenter.predict(image.values), score.class_index, score.space, reduction, image.truth
    return pixel_set.target(*given, segmenter.class_names, score.against)


@pytest.mark.parametrize(
    ("pixel_set", "score", "method", "settings", "reduction"),
    [
        (PixelSet("point", 70, 20), Score(CAR, "log_odds"), "gradient", {}, "sum"),
        (PixelSet("point", 70, 20), Score(CAR, "logit", ROAD), "smoothgrad", {"n_samples": 2}, "sum"),
        (PixelSet("prediction"), Score(PREDICTED, "probability"), "integrated_gradients",
         {"n_steps": 2, "rule": "trapezoid", "baseline": "blur", "sigma": 3.0}, "mean"),
        (BOX, Score(PREDICTED, "logit"), "gradient", {}, "mean"),
        (DRAWN, Score(CAR, "logit"), "gradient", {}, "sum"),
        (PixelSet("border", width=2), Score(CAR, "logit"), "seg_xres_cam",
         {"layer": "decoder.1", "window": (2, 3), "pooling": "max"}, "sum"),
        (PixelSet("false_negatives"), Score(CAR, "logit", ROAD), "layer_cam", {"layer": "decoder.2"}, "mean"),
    ],
)  # fmt: skip
def test_python_and_shell_make_the_same_map_again(selection, pixel_set, score, method, settings, reduction):
    target = target_of(selection, pixel_set, score, reduction)
    expected = explain(selection.segmenter, selection.image.values, target, method, settings).values
    recipe = attribution_recipe(selection, pixel_set, score, method, settings, reduction)
    exec(recipe.python, {})  # noqa: S102 - it is our own
    np.testing.assert_allclose(
        np.load("explanation/values.npy"), expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max()
    )
    if pixel_set is DRAWN:
        assert not recipe.shell  # no option says this
        return
    command = shlex.split(recipe.shell.replace("--out explanation", "--out again"))
    assert command[:3] == ["python", "-m", "core"]
    done = CliRunner().invoke(app, command[3:])
    assert done.exit_code == 0, done.output
    (found,) = Path("again").rglob("values.npy")
    np.testing.assert_allclose(np.load(found), expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_a_label_is_chosen_again(selection):
    """The network's classes, taken for labels that may overlap."""
    check_gradient_is_made_again(replace(selection, segmenter=selection.segmenter.for_label("car")), 1e-6)


def test_a_point_is_given_again(selection, tmp_path):
    pytest.importorskip("transformers")
    from tests.models.adapters import prompted_networks

    prompted_networks.lively("sam").save_pretrained(tmp_path / "sam")
    check_gradient_is_made_again(replace(selection, segmenter=load_segmenter("sam", "cpu", prompt=(70, 21))), 1e-5)


def check_gradient_is_made_again(selection, tolerance):
    """Python and the shell give the gradient of one pixel of the first class, to a share of its largest value."""
    expected = gradient(selection.segmenter, selection.image.values, Target.pixel(70, 20, 1, "logit")).values
    recipe = attribution_recipe(selection, PixelSet("point", 70, 20), Score(1, "logit"), "gradient", {})
    exec(recipe.python, {})  # noqa: S102 - it is our own
    done = CliRunner().invoke(app, shlex.split(recipe.shell.replace("--out explanation", "--out again"))[3:])
    assert done.exit_code == 0, done.output
    (found,) = Path("again").rglob("values.npy")
    for path in ("explanation/values.npy", found):
        np.testing.assert_allclose(np.load(path), expected, rtol=1e-4, atol=tolerance * np.abs(expected).max())


def test_the_facts_name_the_network_the_image_and_the_settings(selection):
    recipe = attribution_recipe(selection, BOX, Score(CAR, "logit", ROAD), "smoothgrad", {"n_samples": 2})
    facts = dict(recipe.facts)
    assert facts["Network"].startswith("scenes, weights ")
    assert facts["Score"] == "car minus road logit"
    assert re.search("128 × 256 pixels", facts["Image"])
    assert facts["N samples"] == "2"


def test_an_influence_map_and_a_jacobian(selection):
    segmenter, image = selection.segmenter, selection.image.values
    recipe = influence_recipe(selection, 70, 20, Score(CAR, "logit", ROAD))
    exec(recipe.python, {})  # noqa: S102 - it is our own
    expected = influence(segmenter, image, 70, 20, CAR, "logit", against=ROAD).values
    np.testing.assert_allclose(np.load("explanation/values.npy"), expected, atol=1e-6 * np.abs(expected).max())
    whole = Selection(segmenter, selection.image, Score(CAR, "logit"))
    made: dict = {}
    exec(jacobian_recipe(whole, 64, keeps_rows=True).python, made)  # noqa: S102 - it is our own
    row = made["found"].row(64, 64)
    expected = gradient(segmenter, image, Target.pixel(64, 64, CAR, "logit")).values
    np.testing.assert_allclose(row, expected, atol=1e-6 * np.abs(expected).max())
    command = shlex.split(jacobian_recipe(whole, 64, keeps_rows=False).shell)
    done = CliRunner().invoke(app, command[3:])
    assert done.exit_code == 0, done.output
