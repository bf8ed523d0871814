import argparse
import datetime as dt
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core import Segmenter, UserError, load_segmenter
from core.models import (
    CustomResNet,
    read_checkpoint,
    read_training_record,
)
from tests.models.checkpoints import small_network

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {"model_state_dict": state, "epoch": 3, "metrics": {"iou": 0.7}},
    lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
])  # fmt: skip
def test_pytorch_files_are_recognised_by_their_keys(tmp_path, wrap):
    network = small_network()
    torch.save(wrap(network.state_dict()), tmp_path / "original.pth")
    segmenter = load_segmenter(tmp_path / "original.pth", "cpu", mean=0.1)
    assert isinstance(segmenter.module, CustomResNet)
    assert (segmenter.in_channels, segmenter.num_classes) == (3, 4)
    assert segmenter.mean == (0.1, 0.1, 0.1)
    image = torch.rand(3, 16, 16)
    torch.testing.assert_close(segmenter.logits(image), network.eval()((image - 0.1)[None]))


def test_training_checkpoint_of_a_unetplusplus(tmp_path):
    """As training scripts write it: weights, optimiser and metrics with NumPy numbers, arrays, paths and options."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    network = smp.UnetPlusPlus("efficientnet-b5", encoder_weights=None, in_channels=3, classes=1)
    content = {
        "epoch": 41,
        "model_state_dict": network.state_dict(),
        "optimizer_state_dict": torch.optim.Adam(network.parameters(), lr=np.float64(1e-4)).state_dict(),
        "metrics": {
            "iou": np.float64(0.8125),
            "dice": np.float32(0.5),
            "images": np.int64(12),
            "best": np.bool_(1),
            "loss": 0.25,
            "confusion": np.eye(2),
            "big-endian": np.array(7, ">i4")[()],
        },
        "options": argparse.Namespace(data=Path("images"), started=dt.date(2026, 1, 2)),
    }
    torch.save(content, tmp_path / "best.pth")
    segmenter = load_segmenter(tmp_path / "best.pth", "cpu")
    assert type(segmenter.module) is smp.UnetPlusPlus
    assert (segmenter.in_channels, segmenter.num_classes, segmenter.size_multiple) == (3, 2, 32)
    assert (segmenter.mean, segmenter.std) == IMAGENET
    assert any("ImageNet" in note for note in segmenter.notes)
    image = torch.rand(3, 64, 64)
    logits = segmenter.logits(image)
    network = network.to(memory_format=torch.channels_last)  # the order of weights decides how sums are rounded
    expected = Segmenter(network, in_channels=3, mean=IMAGENET[0], std=IMAGENET[1], size_multiple=32)
    assert torch.equal(logits, expected.logits(image))
    assert read_training_record(tmp_path / "best.pth") == {
        "epoch": 41,
        "metrics": {"iou": 0.8125, "dice": 0.5, "images": 12, "best": True, "loss": 0.25, "big-endian": 7},
    }


class Pretender:
    """Names a stand-in's NumPy function and hands it what is no number."""

    def __init__(self, arguments: tuple[object, ...]) -> None:
        self.arguments = arguments

    def __reduce__(self):
        return np.float64(1).__reduce__()[0], self.arguments


@pytest.mark.parametrize("arguments", [
    (np.dtype("O"), b"12345678"),
    (np.dtype("V8"), b"12345678"),
    (np.dtype([("a", "O")]), b"12345678"),
    (np.dtype("f8"), b"1234"),
    (3, 4),
    (np.dtype("f8"),),
])  # fmt: skip
def test_numbers_that_are_none_are_passed_over(tmp_path, arguments):
    torch.save(
        {"state_dict": small_network().state_dict(), "metrics": {"iou": Pretender(arguments)}}, tmp_path / "w.pth"
    )
    assert load_segmenter(tmp_path / "w.pth", "cpu").num_classes == 4
    assert read_training_record(tmp_path / "w.pth") == {}


@pytest.mark.parametrize(
    "renamed",
    [
        lambda state: {f"model.{key}": value for key, value in state.items()},
        lambda state: {f"_orig_mod.module.{key}": value for key, value in state.items()},
        lambda state: {"n_averaged": torch.tensor(3), **{f"module.{key}": value for key, value in state.items()}},
        lambda state: {"net": {f"net.{key}": value for key, value in state.items()}, "epoch": 3},
    ],
)
def test_prefixes_that_every_key_has_are_dropped(tmp_path, renamed):
    network = small_network()
    torch.save(renamed(network.state_dict()), tmp_path / "w.pth")
    state_dict, _ = read_checkpoint(tmp_path / "w.pth")
    assert state_dict.keys() == network.state_dict().keys()
    assert isinstance(load_segmenter(tmp_path / "w.pth", "cpu").module, CustomResNet)


def test_original_width_loads(tmp_path):
    torch.save(CustomResNet().state_dict(), tmp_path / "vessel.pth")
    segmenter = load_segmenter(tmp_path / "vessel.pth", "cpu")
    assert sum(parameter.numel() for parameter in segmenter.module.parameters()) == 31_348_738
    assert segmenter.in_channels == 1


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def _pickled(path):
    path.write_bytes(pickle.dumps(Malicious()))


def _pickled_in_torch_file(path):
    torch.save({"state_dict": {}, "model": Malicious()}, path)


def _other_architecture(path):
    torch.save(nn.Linear(2, 3).state_dict(), path)


def _text(path):
    path.write_text("these are not weights")


def _empty(path):
    path.write_bytes(b"")


def _numbers(path):
    torch.save({"epoch": 3, "loss": 0.5}, path)


def _truncated(path):
    torch.save(small_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-500])


def _damaged(path):
    torch.save(small_network().state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-500])


def _torchscript(path):
    torch.jit.save(torch.jit.trace(nn.Conv2d(1, 1, 1), torch.rand(1, 1, 4, 4)), path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_pickled, "holds Python objects beside weights"),
        (_pickled_in_torch_file, "holds Python objects beside weights"),
        (_other_architecture, r"its keys \(weight, bias, …\) match none that is known"),
        (_text, "is not a PyTorch checkpoint"),
        (_empty, "is not a PyTorch checkpoint"),
        (_numbers, "holds no state dict"),
        (_truncated, "is not a whole PyTorch checkpoint: it is cut off"),
        (_damaged, "is not a whole PyTorch checkpoint"),
        (_torchscript, "is a TorchScript archive"),
    ],
)
def test_wrong_pytorch_files(tmp_path, monkeypatch, write, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "wrong.pth"
    write(path)
    with pytest.raises(UserError, match=message) as error:
        load_segmenter(path, "cpu")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "hacked").exists()


def test_the_record_of_a_pytorch_file_is_short(tmp_path):
    content = {
        "state_dict": small_network().state_dict(),
        "epoch": 3,
        "huge": 10**600,
        "long": "x" * 1000,
        "escape": "\x1b[2J",
        "metrics": {"iou": 0.5, "huge": 10**600, "long": "x" * 1000, "k" * 1000: 1},
        "many": {str(i): i for i in range(1000)},
        **{f"entry {i}": i for i in range(1000)},
    }
    torch.save(content, tmp_path / "w.pth")
    record = read_training_record(tmp_path / "w.pth")
    assert record["epoch"] == 3
    assert record["metrics"] == {"iou": 0.5}
    assert not {"huge", "long", "escape", "many"} & record.keys()
    assert len(record) <= 100
