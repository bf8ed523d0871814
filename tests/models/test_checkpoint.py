import argparse
import datetime as dt
import json
import os
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
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
    identify,
    read_checkpoint,
    read_training_record,
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
    settings = {"mean": INFO.mean, "std": INFO.std, "class_names": INFO.class_names}
    expected = Segmenter(network, in_channels=3, size_multiple=segmenter.size_multiple, **settings)
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


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
    torch.save({"state_dict": _network().state_dict(), "metrics": {"iou": Pretender(arguments)}}, tmp_path / "w.pth")
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
    network = _network()
    torch.save(renamed(network.state_dict()), tmp_path / "w.pth")
    state_dict, _ = read_checkpoint(tmp_path / "w.pth")
    assert state_dict.keys() == network.state_dict().keys()
    assert isinstance(load_segmenter(tmp_path / "w.pth", "cpu").module, CustomResNet)


def test_half_precision_becomes_single(tmp_path):
    torch.save(_network().half().state_dict(), tmp_path / "half.pth")
    segmenter = load_segmenter(tmp_path / "half.pth", "cpu")
    assert segmenter.logits(torch.rand(3, 16, 16)).dtype == torch.float32


def test_normalisation_is_what_the_caller_says(tmp_path):
    module = build_module("smp_fpn", {"encoder_name": "mobilenet_v2", "num_classes": 2})
    path = tmp_path / "fpn.pth"
    torch.save(module.state_dict(), path)
    assert load_segmenter(path, "cpu").mean == IMAGENET[0]
    for given, mean, std in (
        ({"normalisation": "none"}, (0, 0, 0), (1, 1, 1)),
        ({"normalisation": "imagenet"}, *IMAGENET),
        ({"mean": 0.5, "std": 0.25}, (0.5,) * 3, (0.25,) * 3),
        ({"mean": (0.1, 0.2, 0.3)}, (0.1, 0.2, 0.3), (1, 1, 1)),
    ):
        segmenter = load_segmenter(path, "cpu", **given)
        assert (segmenter.mean, segmenter.std) == (mean, std)
        assert not any("normalisation" in note for note in segmenter.notes)
    with pytest.raises(UserError, match="either the name of a normalisation or its mean and std"):
        load_segmenter(path, "cpu", normalisation="none", mean=0.5)
    with pytest.raises(UserError, match='no normalisation "imagnet"; use none or imagenet'):
        load_segmenter(path, "cpu", normalisation="imagnet")


def test_imagenet_is_not_assumed_for_other_than_three_channels_or_against_the_file(tmp_path):
    arguments = {"encoder_name": "mobilenet_v2", "num_classes": 2, "in_channels": 1}
    torch.save(build_module("smp_fpn", arguments).state_dict(), tmp_path / "grey.pth")
    grey = load_segmenter(tmp_path / "grey.pth", "cpu")
    assert (grey.mean, grey.std) == ((0,), (1,))
    assert any("none assumed" in note for note in grey.notes)
    info = CheckpointInfo("smp_fpn", {**arguments, "in_channels": 3}, in_channels=3, mean=(0.25,), std=(0.5,))
    path = save_checkpoint(tmp_path / "ours.safetensors", build_module("smp_fpn", info.arguments), info)
    ours = load_segmenter(path, "cpu")
    assert (ours.mean, ours.std, ours.notes) == ((0.25,) * 3, (0.5,) * 3, ())


def test_identity_of_a_file_for_asking_the_rest(tmp_path):
    path = save_checkpoint(tmp_path / "w.safetensors", _network(), INFO)
    found = identify(path)
    assert (found.architecture, found.arguments, found.states_normalisation) == (
        INFO.architecture,
        INFO.arguments,
        True,
    )
    module = build_module("smp_unet", {"encoder_name": "tu-resnet18", "num_classes": 3})
    torch.save(module.state_dict(), tmp_path / "timm.pth")
    unknown = identify(tmp_path / "timm.pth")
    assert (unknown.architecture, unknown.arguments) == (None, {"num_classes": 3})
    assert "name the architecture" in unknown.sentence
    arguments = {"encoder_name": "tu-resnet18", **unknown.arguments}
    segmenter = load_segmenter(tmp_path / "timm.pth", "cpu", architecture="smp_unet", arguments=arguments)
    assert segmenter.num_classes == 3
    assert segmenter.in_channels == 3


def test_published_weights_named_in_a_file_are_not_fetched(tmp_path, monkeypatch):
    arguments = {"encoder_name": "mobilenet_v2", "in_channels": 3, "num_classes": 2}
    info = CheckpointInfo("smp_fpn", {**arguments, "encoder_weights": "imagenet"}, in_channels=3)
    path = save_checkpoint(tmp_path / "w.safetensors", build_module("smp_fpn", arguments), info)
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", lambda *_, **__: pytest.fail("fetched"))
    assert load_segmenter(path, "cpu").num_classes == 2


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
