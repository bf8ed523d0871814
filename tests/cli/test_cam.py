import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core import Target, load_segmenter, read_image
from core.attribution import cam
from core.models import CheckpointInfo, UNet, save_checkpoint
from tests.attribution.made_up_cams import made_up_cams

SIZES = {"first": (24, 32), "second": (19, 27), "third": (24, 32)}
NAMES = ("ground", "wall", "roof")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that sees about as much wall as ground and never a roof."""
    torch.manual_seed(0)
    arguments = {"in_channels": 1, "num_classes": 3, "depth": 2, "width": 4}
    module = UNet(**arguments)
    with torch.no_grad():
        logits = module.eval()(torch.rand(1, 1, 32, 32))[0]
        module.final.bias[1] += (logits[0] - logits[1]).median()
        module.final.bias[2] = -50.0
    path = tmp_path_factory.mktemp("weights") / "houses.safetensors"
    info = CheckpointInfo("unet", arguments, class_names=NAMES, in_channels=1)
    return save_checkpoint(path, module, info)


@pytest.fixture
def data(tmp_path, weights):
    """Images, and masks that are right in the left half and wall in the right one."""
    folder = tmp_path / "data" / "houses" / "test"
    segmenter = load_segmenter(str(weights), "cpu")
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for stem, size in SIZES.items():
        path = folder / "images" / f"{stem}.png"
        Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(path)
        mask = segmenter.predict(read_image(path)).labels.astype(np.uint8)
        mask[:, size[1] // 2 :] = 1
        Image.fromarray(mask).save(folder / "masks" / f"{stem}.png")
    return folder


@pytest.fixture
def command(shell, weights, tmp_path):
    def run(*arguments: object, network: object = weights) -> tuple[int, str, str]:
        return shell("cam", "--weights", network, "--out", tmp_path / "results", "--device", "cpu", *arguments)

    return run


def _folder(tmp_path: Path, model: str, rest: str, data_set: str = "houses_test") -> Path:
    return tmp_path / "results" / model / "visualizations" / data_set / rest


def test_one_layer_of_a_data_set(command, data, weights, tmp_path):
    code, out, err = command("--data", data, "--layer", "encoder.2", "--class", "wall", "--method", "layer_cam")
    assert (code, err) == (0, "")
    assert "3 of 3 images, 1 layers" in out
    segmenter = load_segmenter(str(weights), "cpu")
    folder = _folder(tmp_path, segmenter.name, "layer_cam_class") / "encoder.2"
    manifest = json.loads((folder / "class_1_manifest.json").read_text())
    assert [entry["image"] for entry in manifest["images"]] == ["first.png", "second.png", "third.png"]
    assert manifest["pixel_set"] == {"name": "class"}
    assert (manifest["class_name"], manifest["space"], manifest["failed"]) == ("wall", "logit", {})
    for entry in manifest["images"]:
        image = read_image(data / "images" / entry["image"])
        labels = segmenter.predict(image).labels
        expected = cam(segmenter, image, Target.region(labels == 1, 1), "encoder.2", "layer_cam")
        np.testing.assert_array_equal(np.load(folder / entry["values"]), expected.values)
        assert Image.open(folder / entry["overlay"]).size == image.shape[:0:-1]
        assert entry["target"]["pixels"] == (labels == 1).sum()
        assert entry["weights_sha256"] == segmenter.weights_hash


def test_all_layers_and_a_suggested_one(command, data, tmp_path):
    options = "--pixel-set", "image", "--method", "seg_grad_cam"
    code, out, _ = command("--data", data / "images", "--layer", "all", *options)
    assert code == 0
    folder = next((tmp_path / "results").glob("*/visualizations/houses_test/seg_grad_cam_image"))
    assert {"encoder.0", "encoder.2.5", "upsample.1", "decoder.1", "final"} <= {path.name for path in folder.iterdir()}
    assert f"{len(list(folder.iterdir()))} layers" in out
    last = json.loads((folder / "final" / "class_1_manifest.json").read_text())
    assert any("point by point" in warning for warning in last["images"][0]["warnings"])
    code, _, err = command("--data", data, "--pixel-set", "image", "--method", "ablation_cam")
    assert code == 0
    assert "coarsest resolution" in err
    assert (folder.parent / "ablation_cam_image" / "encoder.2" / "first_class_1_values.npy").exists()


@pytest.mark.parametrize(
    ("pixel_set", "options", "pixels"),
    [
        ("point", ["--row", 3, "--column", 4], 1),
        ("box", ["--box", "1,2,3,5"], 12),
        ("lasso", ["--lasso", "0.5,0.5 0.5,3.5 2.5,3.5 2.5,0.5"], 6),
        ("zero", [], 0),
        ("true_positives", [], None),
    ],
)
def test_pixel_sets(command, data, tmp_path, pixel_set, options, pixels):
    code, _, err = command("--data", data, "--layer", "encoder.1", "--pixel-set", pixel_set, *options)
    assert (code, err) == (0, "")
    path = next((tmp_path / "results").glob(f"*/visualizations/houses_test/*_{pixel_set}/encoder.1/*.json"))
    manifest = json.loads(path.read_text())
    assert manifest["pixel_set"]["name"] == pixel_set
    for entry in manifest["images"]:
        if pixels is None:
            masks = np.asarray(Image.open(data / "masks" / entry["image"]))
            assert 0 < entry["target"]["pixels"] <= (masks == 1).sum()
        else:
            assert entry["target"].get("pixels", 1) == pixels
            if pixel_set == "point":
                assert (entry["target"]["row"], entry["target"]["column"]) == (3, 4)
        if pixel_set == "zero":
            assert not np.load(path.parent / entry["values"]).any()


def test_an_image_that_fails_is_listed_and_the_others_go_on(command, data, tmp_path):
    (data / "images" / "broken.png").write_bytes(b"not a picture")
    Image.new("RGB", (24, 24)).save(data / "images" / "second.png")
    code, out, err = command("--data", data, "--layer", "encoder.1")
    assert code == 0
    assert "2 of 4 images" in out
    lines = err.splitlines()
    assert [line.split(" failed: ")[0] for line in lines] == ["broken.png", "second.png"]
    assert "add --grey" in lines[1]
    path = next((tmp_path / "results").glob("*/visualizations/houses_test/*/encoder.1/*.json"))
    manifest = json.loads(path.read_text())
    assert set(manifest["failed"]) == {"broken.png", "second.png"}
    assert len(manifest["images"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "encoder.1", "--class", "roof"], r"None of the 3 images .* predicted as class 2 \(roof\)"),
        (["--method", "layer_cam,seg_grad_cam"], "Name one method for cam; the command explain takes several"),
        (["--layer", "encodr.1"], 'did you mean "encoder.1"'),
        (["--class", "door"], 'no class "door"; its classes are 0 ground, 1 wall, 2 roof'),
        (["--class", "3"], 'no class "3"'),
        (["--layer", "encoder.1", "--window", "2"], "Only seg_xres_cam"),
        (["--method", "seg_xres_cam", "--window", "2,3,4"], "The option --window is"),
        (["--pixel-set", "box", "--box", "1,2,3"], "The box is 4 whole numbers"),
        (["--pixel-set", "lasso", "--lasso", "1,2 3"], "The lasso is corners"),
        (["--pixel-set", "lasso", "--lasso", "0,0 0,1"], "at least three corners"),
        (["--pixel-set", "point"], "needs a row and a column"),
        (["--pixel-set", "point", "--row", 19, "--column", 99], "lies outside the image"),
    ],
)
def test_mistakes_end_in_one_sentence(command, data, options, message):
    code, _, err = command("--data", data, *options)
    assert code == 2
    assert err.count("Error: ") == 1
    assert "Traceback" not in err
    last = next(line for line in err.splitlines() if line.startswith("Error: "))
    assert re.search(message, last)


def test_a_ground_truth_that_is_not_there(command, data):
    for path in (data / "masks").iterdir():
        path.unlink()
    (data / "masks").rmdir()
    code, _, err = command("--data", data, "--pixel-set", "false_positives")
    assert code == 2
    assert "masks" in err


def test_samples_are_the_first_or_drawn(command, data, tmp_path):
    drawn = set()
    for seed in (None, *range(8)):
        options = () if seed is None else ("--seed", seed)
        out = tmp_path / f"drawn {seed}"
        code, _, err = command("--images", data, "--samples", 1, *options, "--out", out)
        assert code == 0, err
        (path,) = out.rglob("*_values.npy")
        drawn.add(path.name.partition("_")[0])
        if seed is None:
            assert drawn == {"first"}
    assert len(drawn) > 1


def test_two_dask_workers_give_the_files_of_one_process(command, data, tmp_path, cluster):
    (data / "images" / "broken.png").write_bytes(b"not a picture")
    options = "--data", data / "images", "--pixel-set", "box", "--box", "0,0,9,9"
    folders = []
    for out, scheduler in (("alone", ()), ("spread", ("--scheduler", cluster.scheduler_address))):
        code, printed, err = command(*options, "--out", tmp_path / out, *scheduler)
        assert code == 0
        assert "3 of 4 images" in printed
        assert "broken.png failed: broken.png is not a PNG" in err
        folders.append(next((tmp_path / out).glob("*/visualizations/houses_test/*_box/*")))
    alone, spread = ([*sorted(path.name for path in folder.iterdir())] for folder in folders)
    assert alone == spread
    for name in alone:
        if name.endswith(".npy"):
            expected = np.load(folders[0] / name)
            np.testing.assert_allclose(np.load(folders[1] / name), expected, atol=1e-5 * np.abs(expected).max())
    one, two = (json.loads((folder / "class_1_manifest.json").read_text()) for folder in folders)
    assert [entry["image"] for entry in one["images"]] == [entry["image"] for entry in two["images"]]
    assert one["failed"] == two["failed"]


def test_a_registered_layer_method_is_offered_with_its_settings(command, data, tmp_path):
    with made_up_cams():
        code, printed, _ = command("--help")
        assert code == 0
        assert "--exponent" in printed
        for method in ("squared_cam", "brightness_cam"):
            given = "--method", method, "--layer", "encoder.0", "--exponent", 3
            code, _, err = command("--images", data, *(given if method == "squared_cam" else given[:4]))
            assert (code, err) == (0, "")
    folder = tmp_path / "results" / "houses" / "visualizations" / "houses_test"
    for method in ("squared_cam_class", "brightness_cam_class"):
        assert len(list(folder.glob(f"{method}/*/*_values.npy"))) == len(SIZES)
    manifest = json.loads(next(folder.glob("squared_cam_class/*/*manifest.json")).read_text())
    assert all(entry["parameters"]["exponent"] == 3 for entry in manifest["images"])
