"""The register of kinds, and the data sets that `python -m phantoms write` leaves, as the library reads them."""

import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from core.cli import app as core_app
from core.data.data_sets import find_pairs, find_split, read_pair
from core.errors import UserError
from phantoms import PHANTOM_KINDS, SCENE_CLASSES, Phantom, draw_phantom, register
from phantoms.__main__ import app, main
from phantoms.phantom import BLACK_AND_WHITE
from phantoms.writing import write_data_set, write_phantom

SIZES = {"vessels": (32, 40), "fundus": (96, 100), "scenes": (64, 70)}


def test_the_kinds_and_their_classes():
    assert set(PHANTOM_KINDS) == set(SIZES)
    for kind, size in SIZES.items():
        phantom = draw_phantom(kind, 3, size)
        assert phantom.mask.shape == size
        assert phantom.class_names == tuple(PHANTOM_KINDS[kind].palette)
        assert PHANTOM_KINDS[kind].channels in (None, len(phantom.image))
    assert tuple(PHANTOM_KINDS["scenes"].palette) == SCENE_CLASSES
    assert draw_phantom("vessels", 3, (32, 40), 3).image.shape == (3, 32, 40)


def test_a_kind_is_one_registered_function(tmp_path, monkeypatch):
    monkeypatch.setattr("phantoms.phantom.PHANTOM_KINDS", PHANTOM_KINDS | {})

    @register("blanks", BLACK_AND_WHITE, channels=1)
    def blank(seed: int, size: tuple[int, int] = (8, 9)) -> Phantom:
        return Phantom(np.full((1, *size), seed / 255, np.float32), np.zeros(size, np.uint8), tuple(BLACK_AND_WHITE))

    write_data_set(tmp_path, "blanks", 2, seed=7)
    samples = [read_pair(pair) for pair in find_pairs(tmp_path)]
    assert [float(sample.image.mean()) for sample in samples] == pytest.approx([7 / 255, 8 / 255])


@pytest.mark.parametrize("kind", SIZES)
def test_a_written_data_set_is_read_back(tmp_path, kind):
    write_data_set(tmp_path, kind, 2, validation=1, test=1, size=SIZES[kind], bits=16)
    split = find_split(tmp_path)
    seeds = [[int(pair.stem.split("_")[1]) for pair in part] for part in (split.training, split.validation, split.test)]
    assert seeds == [[1_000_000, 1_000_001], [2_000_000], [3_000_000]]
    sample, phantom = read_pair(split.training[1]), draw_phantom(kind, 1_000_001, SIZES[kind])
    np.testing.assert_allclose(sample.image, phantom.image, atol=0.5 / 65535 + 1e-7)
    np.testing.assert_array_equal(sample.mask, phantom.mask)
    assert split.training[1].encoding.class_names == phantom.class_names
    assert (split.training[1].skeleton is None) == (phantom.skeleton is None)


@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (3, 8), (2, 8), (3, 16), (1, 32), (4, 32)])
def test_every_depth_and_number_of_channels_is_read_back(tmp_path, channels, bits):
    phantom = draw_phantom("vessels", 5, (32, 40), channels)
    write_phantom(tmp_path, "a", phantom, BLACK_AND_WHITE, bits)
    error = 0 if bits == 32 else 0.5 / (2**bits - 1) + 1e-7
    np.testing.assert_allclose(read_pair(find_pairs(tmp_path)[0]).image, phantom.image, atol=error, rtol=0)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 300])
def test_masks_of_every_width_are_read_back_by_pillow(tmp_path, width):
    """Rows of one-bit masks end inside a byte."""
    rng = np.random.default_rng(width)
    colours = {"a": "#0a141e", "b": "#ffffff", "c": "#00ff00"}
    for palette in (BLACK_AND_WHITE, colours):
        mask = rng.integers(0, len(palette), (5, width), dtype=np.uint8)
        image = rng.random((3, 5, width), dtype=np.float32)
        write_phantom(tmp_path, "a", Phantom(image, mask, tuple(palette)), palette)
        with Image.open(tmp_path / "masks" / "a.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), mask)
            shown = np.asarray(picture.convert("RGB"))
        expected = np.array([list(bytes.fromhex(colour[1:])) for colour in palette.values()])
        np.testing.assert_array_equal(shown, expected[mask])
        with Image.open(tmp_path / "images" / "a.png") as picture:
            np.testing.assert_allclose(np.asarray(picture), 255 * image.transpose(1, 2, 0), atol=0.501)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cells"], 'There are no phantoms "cells"; use fundus, scenes, vessels.'),
        (["fundus", "--channels", "1"], "Phantoms of the kind fundus have 3 channels, not 1."),
        (["fundus", "--size", "90", "200"], "needs at least 96 x 96 pixels"),
        (["vessels", "--bits", "12"], "8, 16 or 32 bits per value, not 12"),
        (["vessels", "--count", "0"], "needs at least one image"),
        (["vessels", "--test", "1"], "validation beside test images"),
    ],
)
def test_mistakes_end_with_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr("sys.argv", ["phantoms", "write", *arguments, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_command_writes_a_data_set(tmp_path):
    outcome = CliRunner().invoke(
        app, ["write", "vessels", "--count", "2", "--size", "32", "40", "--seed", "7", "--out", str(tmp_path)]
    )
    assert outcome.exit_code == 0, outcome.output
    assert [pair.stem for pair in find_pairs(tmp_path)] == ["vessels_7", "vessels_8"]
    assert find_split(tmp_path) is None


def test_samples_needs_the_generators_beside_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "phantoms.sample_data", None)
    monkeypatch.setitem(sys.modules, "phantoms", None)
    outcome = CliRunner().invoke(core_app, ["samples", "--out", str(tmp_path)])
    assert isinstance(outcome.exception, UserError)
    assert "come with the repository" in str(outcome.exception)
