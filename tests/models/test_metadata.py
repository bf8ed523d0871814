"""The metadata of a checkpoint is checked by type and range before anything is built from it."""

import contextlib
import json
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import core.models.loading
from core import UserError, load_segmenter
from core.models import (
    CheckpointInfo,
    UNet,
    build_module,
    read_checkpoint,
    read_training_record,
    save_checkpoint,
)
from tests.models.checkpoints import INFO as RESNET_INFO
from tests.models.checkpoints import small_network

INFO = replace(RESNET_INFO, architecture="unet", arguments={"in_channels": 3, "num_classes": 4, "depth": 1, "width": 2})
VALID = json.loads(json.dumps(asdict(INFO)))
WEIGHTS = UNet(3, 4, depth=1, width=2).state_dict()


def _file(folder, metadata):
    """A checkpoint with this metadata: a text, or what JSON is made of."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    path = folder / "w.safetensors"
    save_file(WEIGHTS, path, {"whypixel": text})
    return path


@pytest.fixture
def built(monkeypatch):
    """The architectures that loading a checkpoint asked for."""
    asked = []

    def build(architecture, arguments):
        asked.append(architecture)
        return build_module(architecture, arguments)

    monkeypatch.setattr(core.models.loading, "build_module", build)
    return asked


def _nested(levels):
    return "[" * levels + "]" * levels


def _changed(**entries):
    return VALID | entries


def _with_argument(**entries):
    return _changed(arguments=VALID["arguments"] | entries)


def test_what_is_right_loads(tmp_path, built):
    assert load_segmenter(_file(tmp_path, VALID), "cpu").class_names == INFO.class_names
    assert set(built) == {"unet"}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("{}", "architecture is missing"),
        (_nested(100_000), "nested too deeply"),
        (f'{{"training": {_nested(100_000)}}}', "nested too deeply"),
        ('{"in_channels": ' + "9" * 5000 + "}", "is not JSON"),
        (" " * (2**24 + 1), "characters"),
        (_changed(architecture=3), "architecture is not a name"),
        (_changed(architecture=""), "architecture is not a name"),
        (_changed(architecture="u" * 1000), "architecture is not a name"),
        (_changed(architecture="unet\n"), "architecture is not a name"),
        (_changed(arguments=None), "arguments is not an object"),
        (_changed(arguments={"two words": 1}), "'two words' cannot be the name of an argument"),
        (_changed(arguments={f"a{i}": 1 for i in range(101)}), "101 arguments"),
        (_with_argument(depth=100_001), "argument depth is a number beyond ±100000"),
        (_with_argument(depth=10**400), "argument depth is a number beyond"),
        (_with_argument(dropout=float("nan")), "argument dropout is not a finite number"),
        (_with_argument(dropout=float("inf")), "argument dropout is not a finite number"),
        (_with_argument(words="x" * 1000), "argument words is not a text of at most"),
        (_with_argument(words="\x1b[2J"), "argument words is not a text of at most"),
        (_with_argument(rates=[1] * 101), "argument rates has 101 entries"),
        (_with_argument(rates=[[[[1]]]]), "is nested more than 3 levels"),
        (_with_argument(rates=[1, {"a": 10**6}]), "has an entry that has an entry that is a number beyond"),
        (_with_argument(in_channels=True), "in_channels is True"),
        (_with_argument(in_channels=3.0), "in_channels is 3.0"),
        (_with_argument(num_classes="4"), "num_classes is '4'"),
        (_with_argument(num_classes=0), "num_classes is 0"),
        (_changed(in_channels=True), "in_channels is True"),
        (_changed(in_channels=1.5), "in_channels is 1.5"),
        (_changed(in_channels="3"), "in_channels is '3'"),
        (_changed(in_channels=float("nan")), "in_channels is nan"),
        (_changed(in_channels=0), "in_channels is 0"),
        (_changed(in_channels=1001), "in_channels is 1001; give a whole number from 1 to 1000"),
        (_changed(class_names="abcd"), "class_names is not a list"),
        (_changed(class_names={"a": 1}), "class_names is not a list"),
        (_changed(class_names=["a", "b", "c", 4]), "class name 4 is not a text"),
        (_changed(class_names=["a", "b", "c", " "]), "a class name is empty"),
        (_changed(class_names=["a", "b", "c", "a"]), 'the class name "a" stands there twice'),
        (_changed(class_names=["a", "b", "c", "a "]), 'the class name "a " stands there twice'),
        (_changed(class_names=["a", "b", "c", "d" * 1000]), "longer than 200 characters"),
        (_changed(class_names=["a", "b", "c", "\ud800"]), "cannot be printed"),
        (_changed(class_names=[str(i) for i in range(100_001)]), "100001 class names"),
        (_changed(mean=0.5), "mean is not a list"),
        (_changed(mean=[]), "mean is not a list"),
        (_changed(mean=["0.5"]), "mean is not a list"),
        (_changed(mean=[True]), "mean is not a list"),
        (_changed(mean=[float("inf")]), "mean is not a list"),
        (_changed(mean=[10**400]), "mean is not a list"),
        (_changed(mean=[0.1, 0.2]), "mean has 2 numbers"),
        (_changed(std=[0.0]), "std is not a list of positive finite numbers"),
        (_changed(std=[1e-320]), "std is not a list of positive finite numbers"),
        (_changed(std=[float("nan")]), "std is not a list of positive finite numbers"),
        (_changed(std=[1, 1, 1, 1]), "std has 4 numbers"),
        (_changed(training=[1]), "training is not a JSON object"),
        (_changed(training={"a": json.loads(_nested(40))}), "training is not a JSON object of at most 32 levels"),
        (_changed(scores="good"), "scores is not a JSON object"),
        (_changed(scores={"iou": "x" * 1000}), "scores holds a text"),
        (_changed(scores={str(i): i for i in range(20_000)}), "10000 entries"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 100 else "",
)
def test_what_is_wrong_is_one_sentence_and_builds_nothing(tmp_path, built, metadata, message):
    path = _file(tmp_path, metadata)
    for read in (load_segmenter, read_checkpoint, core.models.identify, read_training_record):
        with pytest.raises(UserError) as error:
            read(path)
        assert str(error.value).startswith("The metadata of w.safetensors cannot be read: ")
        assert message in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 500
    assert built == []


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
    save_file(small_network().state_dict(), path, {"whypixel": json.dumps(asdict(RESNET_INFO) | change)})
    with pytest.raises(UserError):
        load_segmenter(path, "cpu")


def test_training_may_name_many_images_and_scores_may_be_missing(tmp_path):
    """As training on 50,000 images without a validation part writes it."""
    training = {"stems": {"training": [f"image_{i:016}" for i in range(50_000)]}}
    info = replace(INFO, training=training, scores={"validation": {"images": 0, "mean_iou": float("nan")}})
    path = save_checkpoint(tmp_path / "w.safetensors", UNet(3, 4, depth=1, width=2), info)
    found = read_checkpoint(path)[1]
    assert found is not None
    assert found.training == training
    assert load_segmenter(path, "cpu").in_channels == 3


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(UserError, match="stands there twice"):
        save_checkpoint(tmp_path / "w.safetensors", nn.Conv2d(1, 1, 1), replace(INFO, class_names=("a", "a")))
    assert not (tmp_path / "w.safetensors").exists()


_single = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_anything = st.recursive(
    _single,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_sizes = st.sampled_from([-1, 0, 1, 2, 3, 4, 8, 9, 1000, 4096, 100_000, 10**9, 1.0, True, "2", None, [1], [16, 8]])
_arguments = st.dictionaries(
    st.sampled_from(
        ["in_channels", "num_classes", "depth", "width", "dropout", "encoder_depth", "decoder_channels", "upsampling"]
    ),
    _sizes | _anything,
)
_architectures = st.sampled_from(["unet", "custom_resnet", "smp_unet", "smp_fpn", "smp_segformer", "unknown"])
_entries = st.fixed_dictionaries(
    {},
    optional={
        "architecture": _architectures | _anything,
        "arguments": _arguments | _arguments.map(lambda changes: VALID["arguments"] | changes) | _anything,
        "class_names": st.lists(st.text(max_size=5), max_size=5) | _anything,
        "in_channels": _sizes | _anything,
        "mean": st.lists(st.floats() | st.integers(), max_size=4) | _anything,
        "std": st.lists(st.floats() | st.integers(), max_size=4) | _anything,
        "training": _anything,
        "scores": _anything,
        "unknown": _anything,
    },
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=_anything | _entries | _entries.map(lambda changes: VALID | changes))
def test_whatever_the_metadata_says_it_loads_or_is_one_sentence(tmp_path, built, metadata):
    built.clear()
    path = _file(tmp_path, metadata)
    try:
        read_checkpoint(path)
    except UserError:
        with pytest.raises(UserError):
            load_segmenter(path, "cpu")
        assert built == []
        return
    with contextlib.suppress(UserError):
        assert load_segmenter(path, "cpu").module.state_dict().keys() == WEIGHTS.keys()


def test_what_the_caller_says_is_checked_likewise(tmp_path, built):
    path = _file(tmp_path, VALID)
    for given_, message in (
        ({"class_names": ("a", "a", "b", "c")}, 'class name "a" stands there twice'),
        ({"class_names": "abcd"}, "class_names is not a list"),
        ({"class_names": ("a", "b", "c", "")}, "a class name is empty"),
        ({"architecture": "unet", "arguments": {"in_channels": "3"}}, "in_channels is '3'"),
        ({"architecture": "unet", "arguments": {"depth": 10**6}}, "depth is a number beyond"),
        ({"architecture": "unet", "arguments": [1]}, "arguments is not an object"),
        ({"architecture": "unet", "arguments": {"depth": print}}, "depth is a builtin_function_or_method"),
    ):
        with pytest.raises(UserError, match=message):
            load_segmenter(path, "cpu", **given_)
    assert built == []
    named = load_segmenter(path, "cpu", class_names=["a", "b", "c", "d"])
    assert named.class_names == ("a", "b", "c", "d")


def test_files_named_in_arguments_are_not_read(tmp_path):
    """Timm would load the checkpoint that `checkpoint_path` names into the encoder."""
    arguments = {"encoder_name": "tu-resnet18", "num_classes": 2}
    info = CheckpointInfo("smp_fpn", arguments | {"checkpoint_path": "/not/there.pth"}, in_channels=3)
    path = save_checkpoint(tmp_path / "w.safetensors", build_module("smp_fpn", arguments), info)
    assert load_segmenter(path, "cpu").num_classes == 2
