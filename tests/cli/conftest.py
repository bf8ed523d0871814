"""Images with masks, and a network whose every answer is known on paper."""

import sys

import numpy as np
import pytest
from PIL import Image

STEMS = ("first", "second", "third")
SIZE = (24, 32)
SOURCE = """
from core import Segmenter
from tests.networks import OneChannel

def bright():
    return Segmenter(OneChannel(), in_channels=1, class_names=("dark", "bright"), name="bright")
"""
"""The logits of the class bright are 3 · image - 1, those of dark are 0: every answer is known on paper."""


@pytest.fixture
def network(tmp_path, monkeypatch):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "own_network.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(folder))
    yield "own_network:bright"
    sys.modules.pop("own_network", None)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    generator = np.random.default_rng(0)
    for stem in STEMS:
        pixels = generator.integers(0, 256, SIZE, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{stem}.png")
        Image.fromarray(((pixels > 127) * 255).astype(np.uint8)).save(folder / "masks" / f"{stem}.png")
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results"
