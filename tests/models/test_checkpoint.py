import json
import os
import pickle
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core import Segmenter, UserError, load_segmenter
from core.models import (
    CheckpointInfo,
    CustomResNet,
    UNet,
    build_module,
    read_checkpoint,
    save_checkpoint,
    shipped_weights,
)

INFO = CheckpointInfo(
    "custom_resnet",
    {"in_channels": 3, "num_classes": 4, "width": 2},
    ("sky", "road", "car", "tree"),
    in_channels=3,
    mean=(0.1, 0.2, 0.3),
    std=(0.5, 0.6, 0.7),
    training={"data": "phantoms", "seeds": [1, 2]},
    scores={"iou": 0.5},
)


def _network() -> CustomResNet:
    torch.manual_seed(0)
    return CustomResNet(3, 4, 2)


def test_number_of_parameters_is_the_originals():
    assert sum(parameter.numel() for parameter in CustomResNet().parameters()) == 31_348_738


def test_parameter_names_are_the_originals():
    names = set(CustomResNet(width=1).state_dict())
    for name in ("conv1.weight", "bn1.weight", "resblock4.skip.0.weight", "resblock1.skip.1.bias", "resblock2.bn2.bias",
                 "upconv3.bias", "final.weight", "final.bias"):  # fmt: skip
        assert name in names
    assert "conv1.bias" not in names


def test_receptive_field_by_nan_probing():
    """An output at p is reached from [p - 62, p + 62] where p mod 16 = 0, else from [16k - 46, 16k + 62]."""
    network = CustomResNet(width=1).eval()
    images = torch.zeros(256, 1, 16, 256)
    images[range(256), :, :, range(256)] = float("nan")
    with torch.no_grad():
        reached = network(images)[:, 0].isnan().any(dim=1)  # (input position, output position)
    for output, (first, last) in {128: (66, 190), 129: (82, 190), 143: (82, 190), 127: (66, 174)}.items():
        inputs = reached[:, output].nonzero()
        assert (inputs.min().item(), inputs.max().item()) == (first, last)


def test_round_trip(tmp_path):
    network = _network()
    path = save_checkpoint(tmp_path / "new" / "mine.safetensors", network, INFO)
    state_dict, info = read_checkpoint(path)
    assert info == INFO
    assert all(torch.equal(state_dict[key], value) for key, value in network.state_dict().items())
    segmenter = load_segmenter(path, "cpu")
    expected = Segmenter(network, in_channels=3, mean=INFO.mean, std=INFO.std, class_names=INFO.class_names)
    image = torch.rand(3, 21, 34)
    torch.testing.assert_close(segmenter.logits(image), expected.logits(image))
    assert segmenter.weights_hash == expected.weights_hash
    assert segmenter.class_names == INFO.class_names
    assert segmenter.name == "mine"


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {"model_state_dict": state, "epoch": 3, "metrics": {"iou": 0.7}},
    lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
])  # fmt: skip
def test_pytorch_files_are_recognised_by_their_keys(tmp_path, wrap):
    network = _network()
    torch.save(wrap(network.state_dict()), tmp_path / "original.pth")
    segmenter = load_segmenter(tmp_path / "original.pth", "cpu", mean=0.1)
    assert isinstance(segmenter.module, CustomResNet)
    assert (segmenter.in_channels, segmenter.num_classes) == (3, 4)
    assert segmenter.mean == (0.1, 0.1, 0.1)
    image = torch.rand(3, 16, 16)
    torch.testing.assert_close(segmenter.logits(image), network.eval()((image - 0.1)[None]))


def test_original_width_loads(tmp_path):
    torch.save(CustomResNet().state_dict(), tmp_path / "vessel.pth")
    segmenter = load_segmenter(tmp_path / "vessel.pth", "cpu")
    assert sum(parameter.numel() for parameter in segmenter.module.parameters()) == 31_348_738
    assert segmenter.in_channels == 1


def test_foreign_safetensors_are_recognised_too(tmp_path):
    save_file(_network().state_dict(), tmp_path / "plain.safetensors")
    assert load_segmenter(tmp_path / "plain.safetensors", "cpu").num_classes == 4


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
    torch.save(_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-500])


def _damaged(path):
    torch.save(_network().state_dict(), path, _use_new_zipfile_serialization=False)
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


def test_wrong_safetensors(tmp_path):
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        load_segmenter(path)
    save_checkpoint(path, _network(), INFO)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        load_segmenter(path)
    save_file(_network().state_dict(), path, {"whypixel": json.dumps({"arguments": 3})})
    with pytest.raises(UserError, match=r"metadata of wrong.safetensors cannot be read"):
        load_segmenter(path)


@pytest.mark.parametrize(
    "change",
    [
        {"class_names": None},
        {"mean": 0.1},
        {"mean": ["x"]},
        {"std": [-1.0]},
        {"std": [float("nan")]},
        {"architecture": ["x"]},
        {"arguments": [1]},
        {"in_channels": "x"},
        {"in_channels": 2},
        {"arguments": {"in_channels": 3, "num_classes": 4, "width": -2}},
        {"arguments": {"in_channels": 3, "num_classes": 4, "width": 100_000}},
        {"arguments": {"in_channels": 3, "num_classes": 4, "width": 2, "dropout": 7}},
    ],
)
def test_wrong_metadata_is_one_sentence_and_takes_no_memory(tmp_path, change):
    path = tmp_path / "wrong.safetensors"
    save_file(_network().state_dict(), path, {"whypixel": json.dumps(asdict(INFO) | change)})
    with pytest.raises(UserError):
        load_segmenter(path, "cpu")


def test_a_unet_is_recognised(tmp_path):
    torch.manual_seed(0)
    network = UNet(3, 5, depth=2, width=4)
    torch.save(network.state_dict(), tmp_path / "unet.pth")
    image = torch.rand(3, 21, 34)
    found = load_segmenter(tmp_path / "unet.pth", "cpu").logits(image)
    torch.testing.assert_close(found, network.eval()(image[None]))


def test_weights_of_other_arguments(tmp_path):
    path = save_checkpoint(tmp_path / "w.safetensors", _network(), INFO)
    with pytest.raises(UserError, match=r"do not fit the architecture custom_resnet: \d+ of \d+ entries match"):
        load_segmenter(path, architecture="custom_resnet", arguments={"in_channels": 3, "num_classes": 4, "width": 3})


def test_wrong_names(tmp_path):
    with pytest.raises(UserError, match=r"There is no checkpoint vessels; give a file, or one of: .*vessmap"):
        load_segmenter("vessels")
    with pytest.raises(UserError, match=r"written as .safetensors"):
        save_checkpoint(tmp_path / "w.pth", _network(), INFO)
    with pytest.raises(UserError, match='no architecture "vgg"'):
        build_module("vgg", {})
    with pytest.raises(UserError, match="cannot be built from"):
        build_module("custom_resnet", {"depth": 3})


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "w.safetensors", _network(), INFO)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, CustomResNet(1, 2, 2), INFO)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_shipped_weights_say_what_they_are_and_stay_small():
    shipped = shipped_weights()
    assert "vessmap" in shipped
    assert sum(path.stat().st_size for path in shipped.values()) < 60e6
    for path in shipped.values():
        _, info = read_checkpoint(path)
        assert info is not None
        assert info.class_names
        assert info.scores
        assert path.with_suffix(".md").is_file()
