import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from core import Target, load_segmenter, read_image
from core.attribution import gradient
from core.cli import COMMANDS, app, imported_command
from core.jacobian import Jacobian

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "sample_data").glob("*/images/*"))
GREY = next(path for path in SAMPLES if path.parts[-3] == "vessels")
COLOUR = next(path for path in SAMPLES if "colour" in path.name)


@pytest.fixture
def command(shell):
    return shell


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_has_an_example(name):
    result = CliRunner().invoke(app, ["--help"] if name is None else [name, "--help"])
    assert result.exit_code == 0
    if name is not None:
        assert f"Example: python -m core {name}" in " ".join(result.output.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_own_help_says(name):
    assert imported_command(name).help.splitlines()[0] == COMMANDS[name]


def test_the_list_of_commands_imports_none_of_them():
    code = (
        "import sys\nfrom core.cli import main\nsys.argv = ['core', '--help']\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"  {name}" in found.stdout for name in COMMANDS)
    loaded = {name.partition(".")[0] for name in found.stderr.split()}
    assert "typer" in loaded
    assert not loaded & {"torch", "numpy", "scipy", "skimage", "plotly", "PIL", "zarr", "distributed", "lightning"}
    assert "core.cli.options" not in found.stderr.split()


def test_predict_imports_no_more_than_it_needs():
    code = "import sys, core.cli.predict\nprint(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in found.stdout.split()}
    assert "torch" in loaded
    assert not loaded & {"scipy", "skimage", "pandas", "zarr", "distributed", "dask", "lightning", "torchmetrics"}
    assert not loaded & {"torchvision", "segmentation_models_pytorch"}


def test_a_mistyped_command_is_told_the_nearest(command):
    code, _, err = command("predct")
    assert code == 2
    assert "Did you mean 'predict'?" in err


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_predict_works_on_every_sample(path, tmp_path, command):
    grey = ["--grey"] if path == COLOUR else []
    code, out, err = command("predict", "--weights", "vessmap", "--image", path, "--out", tmp_path, *grey)
    assert (code, err) == (0, "")
    assert path.name in out
    image = read_image(path)
    labels = np.asarray(Image.open(tmp_path / f"{path.stem}_labels.png"))
    probabilities = np.load(tmp_path / f"{path.stem}_probabilities.npy")
    assert labels.shape == image.shape[1:]
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=0))
    if not grey:
        np.testing.assert_allclose(
            probabilities, load_segmenter("vessmap", "cpu").predict(image).probabilities, atol=1e-4
        )


def test_predict_a_folder(tmp_path, command):
    code, out, _ = command("predict", "--weights", "vessmap", "--images", GREY.parents[1], "--out", tmp_path)
    assert code == 0
    assert len(list(tmp_path.glob("*_overlay.png"))) == 16
    assert len(out.splitlines()) == 16


def test_info_prints_the_card(command):
    code, out, _ = command("info", "--weights", ROOT / "weights" / "vessmap.safetensors")
    assert code == 0
    assert "custom_resnet (CustomResNet)" in out
    assert "0 background, 1 vessel" in out
    assert (ROOT / "weights" / "vessmap.md").read_text() in out


def test_train_writes_a_checkpoint_that_loads(tmp_path, command):
    code, out, _ = command(
        "train", "--images", GREY.parents[1], "--out", tmp_path, "--name", "tiny", "--epochs", 1, "--arguments",
        '{"width": 2}', "--crop", 32, "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    assert "Best epoch 1 of 1" in out
    assert load_segmenter(tmp_path / "tiny.safetensors", "cpu").class_names == ("background", "vessel")


def _text(folder):
    (folder / "text.png").write_text("not a picture")
    return "text.png", "is not a PNG, JPEG or TIFF image"


def _truncated(folder):
    (folder / "cut.tiff").write_bytes(GREY.read_bytes()[:-1000])
    return "cut.tiff", "is broken or cut off"


def _empty(folder):
    (folder / "empty.png").write_bytes(b"")
    return "empty.png", "is empty"


def _one_pixel(folder):
    Image.new("L", (1, 1)).save(folder / "one.png")
    return "one.png", "is 1×1 pixels"


def _sixty_megapixels(folder):
    Image.new("1", (10_000, 6_000)).save(folder / "huge.png")
    return "huge.png", "60 megapixels; at most 50"


def _nan(folder):
    import tifffile

    tifffile.imwrite(folder / "nan.tiff", np.full((20, 20), np.nan, np.float32))
    return "nan.tiff", "400 values that are not finite"


def _colour(folder):
    return COLOUR, "has 3 channels and the network vessmap takes 1; add --grey to convert it"


@pytest.mark.parametrize("make", [_text, _truncated, _empty, _one_pixel, _sixty_megapixels, _nan, _colour])
def test_bad_images_end_with_one_sentence_and_exit_code_2(make, tmp_path, command):
    name, message = make(tmp_path)
    code, out, err = command("predict", "--weights", "vessmap", "--image", tmp_path / name, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
    assert not (tmp_path / "out").exists()


def test_bad_weights_end_with_one_sentence_and_exit_code_2(tmp_path, command):
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "other.pth")
    for weights, message in (
        (tmp_path / "other.pth", "match none that is known"),
        ("nothing", "There is no checkpoint"),
    ):
        code, _, err = command("info", "--weights", weights)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1


def test_a_folder_with_two_images_of_one_name(tmp_path, command):
    for suffix in (".png", ".tif"):
        (tmp_path / f"same{suffix}").write_bytes(GREY.read_bytes())
    code, _, err = command("predict", "--weights", "vessmap", "--images", tmp_path, "--out", tmp_path / "out")
    assert (code, err) == (
        2,
        "Error: Two images are called same, and their results would be too; rename one of them.\n",
    )


def test_results_that_cannot_be_written(tmp_path, command):
    (tmp_path / "taken").write_bytes(b"")
    code, _, err = command("predict", "--weights", "vessmap", "--image", GREY, "--out", tmp_path / "taken")
    assert code == 2
    assert err.startswith("Error: ")
    assert "taken" in err


def test_jacobian_and_threshold(tmp_path, command):
    Image.open(GREY).crop((0, 0, 64, 48)).save(tmp_path / "small.png")
    code, out, err = command(
        "jacobian", "--weights", "vessmap", "--image", tmp_path / "small.png", "--out", tmp_path, "--stride", 16
    )
    assert (code, err) == (0, "")
    assert "passes for" in out
    assert "complete" in out
    store = next(tmp_path.glob("*.zarr"))
    code, out, _ = command("threshold", tmp_path, "--proportion", 0.02, "--out", tmp_path / "maps")
    assert code == 0
    found = np.load(tmp_path / "maps" / store.stem / "threshold_map.npy")
    np.testing.assert_array_equal(found, Jacobian(store).threshold_map(0.02))
    next((store / "boxes").glob("c.*")).unlink()
    code, _, errors = command("threshold", tmp_path, "--out", tmp_path / "maps")
    assert code == 0
    assert Jacobian(store).damage in errors
    assert "There is no Jacobian store" in command("threshold", tmp_path / "maps", "--out", tmp_path)[2]


def test_estimate(tmp_path, command, network, data):
    """The gradient of 3 · image - 1 is 3 at its own pixel, so the estimates are known on paper."""
    code, out, err = command(
        "estimate", "--model", network, "--image", data / "images" / "first.png", "--out", tmp_path, "--space", "logit",
        "--most-passes", 192, "--seed", 4,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "An estimate from 192 passes instead of 768." in out
    assert "Estimated norm of the gradient (±" in out
    np.testing.assert_allclose(np.load(tmp_path / "first" / "estimated_norm.npy"), 3, rtol=1e-4)
    manifest = json.loads((tmp_path / "first" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["space"], manifest["seed"]) == ("estimate", "logit", 4)
    wrong = command("estimate", "--model", network, "--images", data / "images", "--out", tmp_path, "--error", 3)
    assert wrong[0] == 2
    assert "between 0 and 1" in wrong[2]


def test_a_jacobian_of_what_is_predicted_rather_than_a_class(tmp_path, command):
    scene = ROOT / "sample_data" / "scenes" / "test" / "images" / "scene_00.png"
    Image.open(scene).crop((60, 40, 92, 72)).save(tmp_path / "small.png")
    options = "--class", "predicted", "--against", "road", "--space", "logit", "--stride", 16
    code, _, err = command(
        "jacobian", "--model", "scenes", "--image", tmp_path / "small.png", "--out", tmp_path, *options
    )
    assert (code, err) == (0, "")
    segmenter, image = load_segmenter("scenes", "cpu"), read_image(tmp_path / "small.png")
    labels = segmenter.predict(image).labels
    found = Jacobian(tmp_path / "small.zarr")
    assert found.predicted_region.all()
    for row, column in ((0, 0), (16, 16)):
        label, road = int(labels[row, column]), 0
        target = Target.pixel(row, column, label, "logit", None if label == road else road)
        expected = gradient(segmenter, image, target).values
        np.testing.assert_allclose(found.row(row, column), expected, atol=1e-4 * np.abs(expected).max())


def test_bad_options(tmp_path, command):
    assert "either --image FILE or --images" in command("predict", "--weights", "vessmap", "--out", tmp_path)[2]
    assert "are JSON such as" in command("train", "--images", tmp_path, "--out", tmp_path, "--arguments", "{")[2]
    assert "are a JSON object" in command("train", "--images", tmp_path, "--out", tmp_path, "--arguments", "[1]")[2]


def test_module_runs_as_a_program(tmp_path):
    arguments = "predict", "--weights", "vessmap", "--image", "none.png", "--out", str(tmp_path)
    found = subprocess.run(
        [sys.executable, "-m", "core", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert found.stderr == "Error: There is no image file none.png.\n"
