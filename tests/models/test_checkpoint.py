import json

import pytest
import torch
from safetensors.torch import save_file

from core import Segmenter, UserError, load_segmenter
from core.models import (
    CheckpointInfo,
    CustomResNet,
    UNet,
    build_module,
    identify,
    read_checkpoint,
    save_checkpoint,
    shipped_weights,
)
from tests.models.checkpoints import INFO, small_network


def test_round_trip(tmp_path):
    network = small_network()
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


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_half_precision_becomes_single(tmp_path):
    torch.save(small_network().half().state_dict(), tmp_path / "half.pth")
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
    path = save_checkpoint(tmp_path / "w.safetensors", small_network(), INFO)
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


def test_foreign_safetensors_are_recognised_too(tmp_path):
    save_file(small_network().state_dict(), tmp_path / "plain.safetensors")
    assert load_segmenter(tmp_path / "plain.safetensors", "cpu").num_classes == 4


def test_wrong_safetensors(tmp_path):
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        load_segmenter(path)
    save_checkpoint(path, small_network(), INFO)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        load_segmenter(path)
    save_file(small_network().state_dict(), path, {"whypixel": json.dumps({"arguments": 3})})
    with pytest.raises(UserError, match=r"metadata of wrong.safetensors cannot be read"):
        load_segmenter(path)


def test_a_unet_is_recognised(tmp_path):
    torch.manual_seed(0)
    network = UNet(3, 5, depth=2, width=4)
    torch.save(network.state_dict(), tmp_path / "unet.pth")
    image = torch.rand(3, 21, 34)
    found = load_segmenter(tmp_path / "unet.pth", "cpu").logits(image)
    torch.testing.assert_close(found, network.eval()(image[None]))


def test_weights_of_other_arguments(tmp_path):
    path = save_checkpoint(tmp_path / "w.safetensors", small_network(), INFO)
    with pytest.raises(UserError, match=r"do not fit the architecture custom_resnet: \d+ of \d+ entries match"):
        load_segmenter(path, architecture="custom_resnet", arguments={"in_channels": 3, "num_classes": 4, "width": 3})


def test_wrong_names(tmp_path):
    with pytest.raises(UserError, match=r"There is no checkpoint vessels; give a file, or one of: .*vessmap"):
        load_segmenter("vessels")
    with pytest.raises(UserError, match=r"written as .safetensors"):
        save_checkpoint(tmp_path / "w.pth", small_network(), INFO)
    with pytest.raises(UserError, match='no architecture "vgg"'):
        build_module("vgg", {})
    with pytest.raises(UserError, match="cannot be built from"):
        build_module("custom_resnet", {"depth": 3})


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "w.safetensors", small_network(), INFO)
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
