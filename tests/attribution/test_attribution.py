import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from core import Segmenter, Target
from core.attribution import gradient
from core.attribution.attribution import image_hash
from tests.networks import IMAGE_1_TO_9, TinySeg


@pytest.fixture
def attribution():
    return gradient(Segmenter(TinySeg(), in_channels=1, name="tiny"), IMAGE_1_TO_9, Target.pixel(1, 1, 1, "logit"))


def test_save_writes_values_pictures_and_manifest(attribution, tmp_path):
    folder = attribution.save(tmp_path / "new" / "folder")
    np.testing.assert_array_equal(np.load(folder / "values.npy"), attribution.values)
    assert Image.open(folder / "signed.png").size == (3, 3)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    assert manifest["method"] == "gradient"
    assert manifest["target"] == {"class_index": 1, "space": "logit", "row": 1, "column": 1}
    assert manifest["weights_sha256"] == Segmenter(TinySeg(), in_channels=1).weights_hash
    assert manifest["image_sha256"] == image_hash(IMAGE_1_TO_9)
    assert manifest["unit"] == "logit per unit intensity"
    assert set(manifest["libraries"]) == {"torch", "numpy"}
    assert sorted(path.name for path in folder.iterdir()) == [
        "magnitude.png", "manifest.json", "signed.png", "values.npy",
    ]  # fmt: skip


def test_failed_write_leaves_what_was_there(attribution, tmp_path, monkeypatch):
    attribution.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        attribution.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_magnitude_and_signed_map_over_channels(attribution):
    values = np.array([3.0, -4.0], dtype=np.float32).reshape(2, 1, 1)
    coloured = replace(attribution, values=values)
    assert coloured.magnitude().item() == 5
    assert coloured.signed_map().item() == -1
    assert attribution.magnitude().max() == 3


def test_image_hash_tells_shape_and_values():
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    assert image_hash(image) == image_hash(torch.tensor(image))
    assert image_hash(image) != image_hash(image.reshape(1, 4, 3))
    assert image_hash(image) != image_hash(image + 1)


def test_one_large_value_does_not_leave_the_picture_white(attribution, tmp_path):
    values = np.zeros((1, 100, 100), np.float32)
    values[0, :10] = np.linspace(-1, 1, 100)
    values[0, 50, 50] = 1000
    picture = np.asarray(Image.open(replace(attribution, values=values).save(tmp_path) / "signed.png")).astype(int)
    assert picture[0, 0].tolist() != picture[99, 99].tolist()
    red, _, blue = picture[0, -1]
    assert red > blue + 50
