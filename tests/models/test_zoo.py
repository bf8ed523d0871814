import re
import subprocess
import sys
from collections import OrderedDict

import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision
from segmentation_models_pytorch.encoders import encoders
from torch import nn

from core import Segmenter, UserError, load_segmenter
from core.models import ARCHITECTURES, Architecture, build_module, register
from core.models.zoo import architecture as registry
from core.models.zoo.recognition import Identity, recognise
from core.models.zoo.smp_networks import _encoder_shapes
from core.models.zoo.weightless import Weightless, has_weightless

SMALL = {"custom_resnet": {"width": 2}, "unet": {"width": 2}, "smp_dpt": {"encoder_name": "tu-vit_tiny_patch16_224"}}


def _arguments(architecture):
    small = SMALL.get(architecture, {"encoder_name": "resnet18"} if architecture.startswith("smp_") else {})
    return {"in_channels": 2, "num_classes": 3, **small}


def _seeded(architecture, arguments):
    torch.manual_seed(1)
    module = build_module(architecture, arguments).eval()
    for part in module.modules():  # statistics as after some training, so that a lost one is seen
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.9, 1.1)
    return module


def test_names_are_all_of_both_libraries():
    names = [f"smp_{name}" for name in smp.MODEL_ARCHITECTURES_MAPPING]
    names += [f"torchvision_{name}" for name in torchvision.models.list_models(module=torchvision.models.segmentation)]
    assert set(ARCHITECTURES) == {"custom_resnet", "unet", *names}
    assert len(ARCHITECTURES) == len(names) + 2


def test_our_own_networks_load_without_importing_a_library():
    """Each takes seconds to import."""
    code = (
        "import sys; from core.models import load_segmenter, build_module; load_segmenter('vessmap', 'cpu');"
        "build_module('unet', {'width': 2});"
        "print([name for name in ('segmentation_models_pytorch', 'timm', 'torchvision') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_gives_logits_of_the_images_size(architecture):
    arguments = _arguments(architecture)
    segmenter = Segmenter(
        build_module(architecture, arguments),
        in_channels=2,
        size_multiple=ARCHITECTURES[architecture].size_multiple(arguments),
    )
    size = (224, 224) if architecture == "smp_dpt" else (70, 41)  # vision transformers take one size only
    assert segmenter.logits(torch.rand(2, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_built_without_memory_is_the_same_once_it_has_weights(architecture):
    arguments = _arguments(architecture)
    network = _seeded(architecture, arguments)
    with Weightless():
        empty = build_module(architecture, arguments)
    held = sum(parameter.numel() for parameter in empty.parameters() if not parameter.is_meta)
    assert held < 50_000  # nothing but a first convolution that was replaced for other than three channels
    empty.load_state_dict(network.state_dict(), assign=True)
    assert not has_weightless(empty)
    images = torch.rand(1, 2, *((224, 224) if architecture == "smp_dpt" else (128, 128)))
    with torch.no_grad():
        found, expected = empty.eval()(images), network(images)
    found, expected = (result["out"] if isinstance(result, dict) else result for result in (found, expected))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", [name for name in smp.MODEL_ARCHITECTURES_MAPPING if name not in ("dpt", "pan")])
def test_size_multiple_is_the_encoders_output_stride(name):
    arguments = {"encoder_name": "resnet18"}
    with Weightless():
        module = build_module(f"smp_{name}", arguments)
    assert ARCHITECTURES[f"smp_{name}"].size_multiple(arguments) == module.encoder.output_stride


def test_size_multiple_follows_depth_and_is_found_by_trying_where_it_is_not_known():
    assert ARCHITECTURES["smp_unet"].size_multiple({"encoder_depth": 3}) == 8
    assert ARCHITECTURES["smp_unet"].size_multiple({"encoder_name": "tu-convnext_tiny"}) is None
    assert ARCHITECTURES["custom_resnet"].size_multiple({}) == 16


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        ("smp_unett", {}, "did you mean smp_unet "),
        ("xyzzy", {}, 'no architecture "xyzzy"; the known ones are'),
        ("smp_unet", {"encoder_name": "resnet33"}, "did you mean resnet34 "),
        ("smp_unet", {"encoder_name": "efficientnet_b5"}, "efficientnet-b5"),
        ("smp_unet", {"encoder_name": "tu-resnet18x"}, "tu-resnet18"),
        ("smp_unet", {"encoder_name": "tu-hf-hub:someone/something"}, "There is no encoder"),
        ("smp_unet", {"decoder_channel": (1, 2)}, 'no argument "decoder_channel"'),
        ("smp_unet", {"encoder_depth": 9}, "cannot be built from"),
        ("torchvision_fcn_resnet50", {"depth": 3}, "cannot be built from"),
    ],
)
def test_wrong_names_and_arguments_are_one_sentence(architecture, arguments, message):
    with pytest.raises(UserError, match=message) as error:
        build_module(architecture, arguments)
    assert "\n" not in str(error.value)


def test_weights_that_cannot_be_fetched_are_told(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", unreachable)
    with pytest.raises(UserError, match=r'"imagenet" of resnet18 cannot be fetched \(no route to the hub\)'):
        build_module("smp_unet", {"encoder_name": "resnet18", "encoder_weights": "imagenet"})


RECOGNISED = [
    ("smp_unet", {"encoder_name": "resnet18", "in_channels": 3, "num_classes": 1}),
    ("smp_unetplusplus", {"encoder_name": "efficientnet-b5", "in_channels": 3, "num_classes": 1}),
    ("smp_fpn", {"encoder_name": "mobilenet_v2", "in_channels": 4, "num_classes": 5}),
    ("smp_manet", {"encoder_name": "resnet18", "in_channels": 1, "num_classes": 2}),
    ("smp_linknet", {"encoder_name": "resnet34", "in_channels": 3, "num_classes": 2}),
    ("smp_pspnet", {"encoder_name": "resnet18", "in_channels": 3, "num_classes": 2}),
    ("smp_deeplabv3", {"encoder_name": "resnet18", "in_channels": 3, "num_classes": 2}),
    ("smp_deeplabv3plus", {"encoder_name": "timm-efficientnet-b0", "in_channels": 3, "num_classes": 2}),
    ("smp_pan", {"encoder_name": "resnet18", "in_channels": 3, "num_classes": 2}),
    ("smp_upernet", {"encoder_name": "resnet18", "in_channels": 3, "num_classes": 2}),
    ("smp_segformer", {"encoder_name": "mit_b0", "in_channels": 3, "num_classes": 2}),
    ("smp_unet", {"encoder_name": "mobileone_s0", "in_channels": 2, "num_classes": 1}),
    ("smp_unet", {"encoder_name": "resnet18", "in_channels": 3, "num_classes": 1, "aux_params": {"classes": 4}}),
    ("torchvision_deeplabv3_mobilenet_v3_large", {"in_channels": 3, "num_classes": 2}),
    ("torchvision_fcn_resnet50", {"in_channels": 1, "num_classes": 2, "aux_loss": True}),
    ("torchvision_lraspp_mobilenet_v3_large", {"in_channels": 3, "num_classes": 21}),
]


@pytest.mark.parametrize(("architecture", "arguments"), RECOGNISED)
def test_a_network_is_recognised_by_its_shapes_whatever_their_order(architecture, arguments):
    with Weightless():
        state_dict = build_module(architecture, arguments).state_dict()
    assert recognise(dict(sorted(state_dict.items()))) == Identity(architecture, arguments)


@pytest.mark.parametrize(
    ("architecture", "changed"),
    [
        ("smp_unet", {"decoder_channels": [64, 32, 16], "encoder_depth": 3}),
        ("smp_unetplusplus", {"decoder_channels": [64, 32, 16, 8], "encoder_depth": 4}),
        ("smp_unetplusplus", {"decoder_attention_type": "scse"}),
        ("smp_manet", {"decoder_channels": [64, 32, 16, 16, 8]}),
        ("smp_fpn", {"decoder_merge_policy": "cat"}),
        ("smp_fpn", {"encoder_depth": 4}),
        ("smp_deeplabv3plus", {"decoder_channels": 48}),
    ],
)
def test_what_differs_from_the_defaults_is_read_from_the_shapes(architecture, changed):
    with Weightless():
        state_dict = build_module(architecture, {"encoder_name": "resnet18", **changed}).state_dict()
    found = recognise(state_dict)
    assert found.architecture == architecture
    assert changed.items() <= found.arguments.items()


def test_every_encoder_has_keys_and_shapes_of_its_own():
    """So that the one encoder that matches is the right one."""
    first_with: dict[frozenset, str] = {}
    for name in encoders:
        assert first_with.setdefault(frozenset(_encoder_shapes(name).items()), name) == name


def test_networks_that_match_alike_are_not_guessed_but_named():
    with Weightless():  # the last stages of VGG have the same number of channels, so the depth leaves no trace
        state_dict = build_module("smp_pspnet", {"encoder_name": "vgg11", "num_classes": 2}).state_dict()
    found = recognise(state_dict)
    assert found.architecture is None
    assert re.search(r"smp_pspnet with .* alike; name the architecture", found.sentence)
    assert found.candidates == ("smp_pspnet",)
    assert found.arguments == {"encoder_name": "vgg11", "in_channels": 3, "num_classes": 2}


def test_timms_encoders_are_asked_for():
    with Weightless():
        state_dict = build_module("smp_unet", {"encoder_name": "tu-resnet18", "num_classes": 2}).state_dict()
    found = recognise(state_dict)
    assert found.architecture is None
    assert "its keys say num_classes 2" in found.sentence


def test_one_foreign_key_or_shape_is_enough_to_doubt():
    with Weightless():
        state_dict = build_module("smp_unet", {"encoder_name": "resnet18"}).state_dict()
    reshaped = {"decoder.blocks.0.conv1.0.weight": torch.zeros(256, 99, 3, 3)}
    for foreign in ({"extra.weight": torch.zeros(1)}, reshaped):
        found = recognise({**state_dict, **foreign})
        assert found.architecture is None
        assert "match none that is known" in found.sentence


class Tables(nn.Module):
    """Computes what its state dict does not hold, in the ways that networks do."""

    def __init__(self, in_channels: int = 1, num_classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 1)
        self.register_buffer("position", torch.linspace(0, 1, 4).view(1, 1, 4, 1), persistent=False)
        self.register_buffer("offset", torch.full((1,), 0.5), persistent=False)
        self.scale = torch.ones(1) * 3

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images) * self.scale + self.position + self.offset


def test_what_the_state_dict_does_not_hold_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_networks", dict(registry._networks))
    register("tables", Architecture(Tables, lambda _: 1))
    network = Tables()
    torch.save(network.state_dict(), tmp_path / "tables.pth")
    segmenter = load_segmenter(tmp_path / "tables.pth", "cpu", architecture="tables", arguments={})
    assert not has_weightless(segmenter.module)
    image = torch.rand(1, 4, 5)
    assert torch.equal(segmenter.logits(image), network(image[None]))


def test_a_zoo_name_gives_fresh_weights_that_are_the_same_every_time():
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first, second = (load_segmenter("smp_unet", "cpu", arguments={"encoder_name": "resnet18"}) for _ in range(2))
    assert "untrained" in first.name
    assert any("seed 0" in note for note in first.notes)
    assert first.weights_hash == second.weights_hash
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(0)
    expected = smp.Unet("resnet18", encoder_weights=None).state_dict()
    assert all(torch.equal(expected[key], value) for key, value in first.module.state_dict().items())


def test_an_architecture_is_registered_in_one_place(tmp_path, monkeypatch):
    """Built, named, recognised by its keys, and run at its sizes, all from the one call."""
    monkeypatch.setattr(registry, "_networks", dict(registry._networks))

    def arguments(shapes):
        weight = shapes.get("only.weight")
        return None if weight is None else {"in_channels": weight[1], "num_classes": weight[0]}

    def build(in_channels, num_classes):
        return nn.Sequential(OrderedDict(only=nn.Conv2d(in_channels, num_classes, 4, stride=4)))

    register("made_up", Architecture(build, lambda _: 4), arguments)
    assert "made_up" in [*ARCHITECTURES]
    torch.save(build(2, 3).state_dict(), tmp_path / "w.pth")
    segmenter = load_segmenter(tmp_path / "w.pth", "cpu")
    assert "made_up" in segmenter.notes[0]
    assert (segmenter.in_channels, segmenter.num_classes, segmenter.size_multiple) == (2, 3, 4)
    assert (
        load_segmenter("made_up", "cpu", arguments={"in_channels": 1, "num_classes": 2}).name == "made_up (untrained)"
    )


def test_what_fits_nothing_names_what_is_closest():
    state_dict = smp.Unet("resnet18", encoder_weights=None, classes=2).state_dict()
    del state_dict["segmentation_head.0.bias"]
    found = recognise(state_dict)
    assert found.architecture is None
    assert "closest share: smp_unet with 99 %, " in found.sentence
    unlike = recognise({"weight": torch.zeros(3), "bias": torch.zeros(3)})
    assert unlike.architecture is None
    assert unlike.sentence
    assert "closest" not in unlike.sentence
