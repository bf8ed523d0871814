"""`--weights` with what is no whole checkpoint: one sentence that says what is wrong, and exit code 2."""

import json
import struct
import zipfile
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from core.models import CheckpointInfo, UNet

INFO = CheckpointInfo("unet", {"in_channels": 1, "num_classes": 2, "depth": 1, "width": 2})
WEIGHTS = UNet(1, 2, depth=1, width=2).state_dict()


@pytest.fixture
def sentence(shell):
    """The sentence of the command line for a file of weights."""

    def end_of(path):
        code, out, err = shell("info", "--weights", path)
        assert (code, out) == (2, "")
        assert err.startswith("Error: ")
        assert err.count("\n") == 1
        assert ".." not in err
        return err

    return end_of


def test_a_folder(tmp_path, sentence):
    folder = tmp_path / "run.pth"
    folder.mkdir()
    assert f"{folder} is a folder; give the checkpoint in it" in sentence(folder)


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt", "ckpt"])
def test_an_empty_file(tmp_path, sentence, suffix):
    path = tmp_path / f"w.{suffix}"
    path.touch()
    assert f"w.{suffix} is not a" in (found := sentence(path))
    assert ": it is empty." in found


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "old"])
def test_a_file_that_is_cut_off(tmp_path, sentence, kind, share):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: max(3, int(share * len(content)))])
    assert "is not a whole" in sentence(path)


def test_a_zip_archive_of_other_things(tmp_path, sentence):
    zipfile.ZipFile(tmp_path / "empty.pth", "w").close()
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("folder/words.txt", "these are not weights")
    for name in ("empty.pth", "other.pth"):
        assert f"{name} is a ZIP archive without a PyTorch checkpoint in it" in sentence(tmp_path / name)


def test_keys_with_thousands_of_prefixes(tmp_path, sentence):
    """Each one used to be dropped by a call within the call before, until Python gave up."""
    prefix = "module." * 3000
    save_file({f"{prefix}{key}": value for key, value in WEIGHTS.items()}, tmp_path / "w.safetensors")
    assert "w.safetensors does not say its architecture" in sentence(tmp_path / "w.safetensors")


def test_a_file_without_tensors(tmp_path, sentence):
    for name, metadata in (("plain", None), ("ours", {"whypixel": json.dumps(asdict(INFO))})):
        path = tmp_path / f"{name}.safetensors"
        save_file({}, path, metadata)
        assert f"{name}.safetensors holds no weights" in sentence(path)


def _half_bytes(path):
    """A tensor of two numbers in one byte, which safetensors knows and no convolution takes."""
    header = {
        "__metadata__": {"whypixel": json.dumps(asdict(INFO))},
        "final.bias": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0")


def _with_bias(make):
    def write(path):
        torch.save(WEIGHTS | {"final.bias": make()}, path)

    return write


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("w.safetensors", _half_bytes),
        ("w.pth", _with_bias(lambda: torch.zeros(2, dtype=torch.complex64))),
        ("w.pth", _with_bias(lambda: torch.zeros(2).to_sparse())),
        ("w.pth", _with_bias(lambda: torch.zeros(2, device="meta"))),
        ("w.pth", _with_bias(lambda: torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8))),
    ],
    ids=["half bytes", "complex", "sparse", "meta", "quantised"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_that_are_no_plain_numbers(tmp_path, sentence, name, write):
    write(tmp_path / name)
    assert "final.bias in " in sentence(tmp_path / name)
