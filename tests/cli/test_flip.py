"""`python -m core flip`: what it writes flips the label, and mistakes get one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core import load_segmenter, read_image
from core.cli import app
from core.counterfactual import Edit
from core.counterfactual.fragility import open_fragility_map

IMAGE = Path(__file__).resolve().parents[2] / "sample_data" / "vessels" / "images" / "phantom_00.tiff"
RUNNER = CliRunner()


def run(*arguments: object):
    return RUNNER.invoke(app, ["flip", "--model", "vessmap", "--image", str(IMAGE), *map(str, arguments)])


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("vessmap", "cpu")


def test_the_written_image_flips_the_pixel_and_leaves_the_context(tmp_path, segmenter):
    image = read_image(IMAGE)
    before = segmenter.predict(image).labels
    row, column = (int(each) for each in np.argwhere(before == 1)[50])
    found = run("--row", row, "--column", column, "--context", 6, "--out", tmp_path)
    assert found.exit_code == 0, found.output
    assert "fragile" in found.output
    folder = tmp_path / IMAGE.stem
    changed = np.load(folder / "changed.npy")
    assert segmenter.predict(changed).labels[row, column] == 0
    rows, columns = np.mgrid[: before.shape[0], : before.shape[1]]
    near = np.hypot(rows - row, columns - column) <= 6
    assert np.array_equal(changed[:, near], image[:, near])
    assert np.array_equal(Edit.load(folder / "edit.zip").apply(image), changed)
    assert json.loads((folder / "manifest.json").read_text())["measure"] == "l2"


def test_every_nth_pixel_is_mapped_and_resumed(tmp_path):
    for _ in range(2):
        found = run("--every", 100, "--out", tmp_path)
        assert found.exit_code == 0, found.output
        assert "upper bounds" in found.output
    assert open_fragility_map(tmp_path / IMAGE.stem).done == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Give --row and --column of a pixel"),
        (("--row", 3), "give both --row and --column"),
        (("--row", 3, "--column", 3, "--box", "0,0,9,9"), "Give --row and --column"),
        (("--box", "0,0,9"), "4 whole numbers"),
        (("--row", 3, "--column", 999), "outside the image"),
        (("--row", 3, "--column", 3, "--to", "tree"), 'no class "tree"'),
        (("--row", 3, "--column", 3, "--context", 9999), "leaves no pixel"),
        (("--every", 0), "Every n-th pixel"),
        (("--every", 64, "--measure", "l0"), "measured by"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path, arguments, sentence):
    found = run(*arguments, "--out", tmp_path)
    assert found.exit_code != 0
    assert sentence in str(found.exception or found.output)
