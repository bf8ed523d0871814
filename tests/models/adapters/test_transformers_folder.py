"""Folders of Hugging Face transformers, written by `save_pretrained` with small random weights."""

import copy
import json
import shutil
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from core import Target, UserError, load_segmenter
from core.attribution import gradient
from core.jacobian.opening import read_manifest
from tests.conformance.transformer_networks import NETWORKS
from tests.jacobian.rows import largest_relative_error, random_image

transformers = pytest.importorskip("transformers")
from tests.models.adapters import query_networks  # noqa: E402 - needs transformers

_NAMES = {0: "road", 1: "tree", 2: "sky"}
_SEMANTIC = {
    "segformer": transformers.SegformerImageProcessor,
    "beit": transformers.BeitImageProcessor,
    "data2vec-vision": transformers.BeitImageProcessor,
    "dpt": transformers.DPTImageProcessor,
    "upernet-swin": transformers.SegformerImageProcessor,
    "upernet-convnext": transformers.SegformerImageProcessor,
    "mobilevit": transformers.MobileViTImageProcessor,
}


@cache
def _semantic(name: str) -> torch.nn.Module:
    module = NETWORKS[f"transformers-{name}"].make()
    module.config.id2label = _NAMES
    return module


def _saved(folder: Path, name: str = "segformer", *, processor: bool = True, **options: object) -> Path:
    """A folder with a network and the image processor that belongs to it."""
    module = query_networks.lively(name) if name in query_networks.BUILDERS else _semantic(name)
    module.save_pretrained(folder, **options)
    if processor and name in _SEMANTIC:
        _SEMANTIC[name]().save_pretrained(folder)
    return folder


def _edit(file: Path, **entries: object) -> None:
    """Change entries of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | entries
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def _refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_segmenter(folder, "cpu")
    return str(caught.value)


def _prepared_by_the_library(name: str, image: np.ndarray) -> torch.Tensor:
    """An 8-bit image as the library's processor prepares it, (1, C, H, W), at its own size."""
    processor = _SEMANTIC[name](do_resize=False, do_center_crop=False)
    octets = np.round(image * 255).astype(np.uint8).transpose(1, 2, 0)
    return processor(Image.fromarray(octets), return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("name", _SEMANTIC)
def test_labels_of_a_semantic_network(name, tmp_path):
    """From the 8-bit image on, by the library's own preparation and post-processing."""
    segmenter = load_segmenter(_saved(tmp_path / "net", name), "cpu")
    assert segmenter.class_names == ("road", "tree", "sky")
    compared = 0
    for size in NETWORKS[f"transformers-{name}"].sizes:
        image = np.round(random_image(3, *size, seed=1) * 255).astype(np.float32) / 255
        try:
            with torch.no_grad():
                result = _semantic(name)(_prepared_by_the_library(name, image))
        except (RuntimeError, ValueError):  # a size that the network itself refuses, and that is padded here
            continue
        labels = _SEMANTIC[name]().post_process_semantic_segmentation(result, target_sizes=[size])[0]
        assert len(labels.unique()) > 1
        assert (segmenter.predict(image).labels == labels.numpy()).mean() >= 0.999
        compared += 1
    assert compared


@pytest.mark.parametrize("name", _SEMANTIC)
def test_a_gradient_of_a_semantic_network_is_a_row_worked_out_by_hand(name, tmp_path):
    """In float64, as in float32 two orders of the same sums differ by more."""
    segmenter = load_segmenter(_saved(tmp_path / "net", name), "cpu")
    segmenter.module.double()
    size = NETWORKS[f"transformers-{name}"].sizes[0]
    image = random_image(3, *size, seed=1)
    leaf = torch.from_numpy(image).requires_grad_()
    if name == "mobilevit":
        prepared = leaf[[2, 1, 0]]
    else:
        processor = _SEMANTIC[name]
        mean, std = (torch.tensor(values)[:, None, None] for values in (processor.image_mean, processor.image_std))
        prepared = (leaf - mean) / std
    logits = copy.deepcopy(_semantic(name)).double()(prepared[None].double()).logits
    logits = torch.nn.functional.interpolate(logits, size, mode="bilinear")[0]
    for pixel in ((0, 0), (size[0] - 1, size[1] // 3), (size[0] // 2, size[1] // 2)):
        row = torch.autograd.grad(logits[(2, *pixel)], leaf, retain_graph=True)[0].numpy()
        found = gradient(segmenter, image, Target.pixel(*pixel, 2, "logit")).values
        assert np.abs(row).max() > 0
        assert largest_relative_error(found[None], row[None]) <= 1e-6


def test_what_is_said_of_the_preparation(tmp_path):
    folder = _saved(tmp_path / "streets")
    segmenter = load_segmenter(folder, "cpu")
    assert segmenter.name == "streets"
    assert segmenter.given_notes == (
        "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225 from its image processor",
        "images keep their size; its image processor would make it height 512, width 512",
    )
    named = load_segmenter(folder, "cpu", mean=0.5, std=0.25, class_names=("a", "b", "c"))
    assert (named.mean, named.std, named.class_names) == ((0.5,) * 3, (0.25,) * 3, ("a", "b", "c"))
    assert len(named.given_notes) == 1
    assert load_segmenter(folder, "cpu", normalisation="none").std == (1.0,) * 3
    with pytest.raises(UserError, match="positive std"):
        load_segmenter(folder, "cpu", std=0.0)
    with pytest.raises(UserError, match="states its architecture itself"):
        load_segmenter(folder, architecture="unet")


def test_without_an_image_processor(tmp_path):
    segmenter = load_segmenter(_saved(tmp_path / "net", "beit", processor=False), "cpu")
    assert segmenter.mean == segmenter.std == (0.5,) * 3
    assert segmenter.given_notes == ("normalisation not stated: mean 0.5, 0.5, 0.5, std 0.5, 0.5, 0.5 assumed",)


def test_intensities_that_are_not_rescaled(tmp_path):
    """Then the network takes 0 to 255, and mean and std are on that scale."""
    folder = _saved(tmp_path / "net")
    processor = folder / "preprocessor_config.json"
    _edit(processor, do_rescale=False, image_mean=[51, 102, 127.5], image_std=[25.5, 51, 255])
    segmenter = load_segmenter(folder, "cpu")
    np.testing.assert_allclose((segmenter.mean, segmenter.std), ((0.2, 0.4, 0.5), (0.1, 0.2, 1.0)))
    _edit(processor, do_normalize=False)
    segmenter = load_segmenter(folder, "cpu")
    np.testing.assert_allclose((segmenter.mean, segmenter.std), ((0, 0, 0), (1 / 255,) * 3))
    _edit(processor, do_normalize=True, image_mean="grey")
    assert "no mean and std that are numbers" in _refusal(folder)


def test_grey_images(tmp_path):
    """The channels are the configuration's; the usual mean of colour images does not fit them."""
    config = transformers.SegformerConfig(
        num_channels=1, depths=[1] * 4, hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16, num_labels=1
    )
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(tmp_path / "net")
    segmenter = load_segmenter(tmp_path / "net", "cpu")
    assert (segmenter.in_channels, segmenter.mean, segmenter.num_classes) == (1, (0.0,), 2)
    assert segmenter.class_names == ("class 0", "class 1")
    assert "normalisation not stated: none assumed" in segmenter.notes


def test_weights_in_several_files(tmp_path):
    whole = load_segmenter(_saved(tmp_path / "whole"), "cpu")
    folder = _saved(tmp_path / "parts", max_shard_size="20KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    assert not (folder / "model.safetensors").exists()
    assert load_segmenter(folder, "cpu").weights_hash == whole.weights_hash
    parts[1].unlink()
    assert f"lacks {parts[1].name}" in _refusal(folder)
    _edit(folder / "model.safetensors.index.json", weight_map={"x": "../whole/model.safetensors"})
    assert "does not list safetensors files of its folder" in _refusal(folder)


def test_a_network_of_queries(tmp_path):
    segmenter = load_segmenter(_saved(tmp_path / "net", "mask2former"), "cpu")
    assert segmenter.class_names == tuple(f"part {index}" for index in range(query_networks.NUM_CLASSES))
    assert segmenter.findings().notes[0].startswith("it answers with queries")


def test_a_oneformer_has_its_task_from_the_tokenizer(tmp_path):
    folder = _saved(tmp_path / "net", "oneformer")
    assert "save its OneFormerProcessor there" in _refusal(folder)
    letters = sorted(set("the task is semantic") - {" "})
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {word: index for index, word in enumerate(words)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    segmenter = load_segmenter(folder, "cpu")
    cut_off = ["<|startoftext|>", "t", "h", "e</w>", "t", "a", "s", "k</w>", "<|endoftext|>"]
    assert segmenter.module.task_inputs.tolist() == [[vocabulary[word] for word in cut_off]]
    assert segmenter.predict(random_image(3, 64, 64, seed=1)).labels.shape == (64, 64)


def test_two_loads_are_the_same_model(tmp_path):
    first, second = (load_segmenter(_saved(tmp_path / name), "cpu") for name in ("first", "second"))
    assert first.weights_hash == second.weights_hash
    other = load_segmenter(_saved(tmp_path / "first"), "cpu", mean=0.0)
    assert other.weights_hash != first.weights_hash


def test_damaged_folders(tmp_path):
    whole = _saved(tmp_path / "whole")

    def damaged(name: str) -> Path:
        return Path(shutil.copytree(whole, tmp_path / name))

    folder = damaged("cut")
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "model.safetensors is not a whole safetensors file" in _refusal(folder)
    (folder / "model.safetensors").unlink()
    assert "holds no model.safetensors; save the network there with save_pretrained" in _refusal(folder)

    folder = damaged("cut_config")
    (folder / "config.json").write_text((whole / "config.json").read_text()[:200])
    assert "config.json is not a whole JSON file" in _refusal(folder)
    (folder / "config.json").write_text("[]")
    assert "does not hold a JSON object" in _refusal(folder)

    folder = damaged("nonsense")
    _edit(folder / "config.json", hidden_sizes="large")
    assert _refusal(folder).startswith(f"transformers cannot load {folder}: ")

    folder = damaged("cut_processor")
    (folder / "preprocessor_config.json").write_text("{")
    assert "preprocessor_config.json is not a whole JSON file" in _refusal(folder)


def test_weights_that_do_not_fit(tmp_path):
    """transformers only warns of these and draws new ones."""
    folder = _saved(tmp_path / "net")
    weights = load_file(folder / "model.safetensors")
    key = "decode_head.classifier.weight"
    for changed, problem in (
        ({name: value for name, value in weights.items() if name != key}, f"1 missing ({key})"),
        (weights | {"extra": torch.zeros(2)}, "1 left over (extra)"),
        (weights | {key: weights[key][:2]}, f"1 of another shape ({key})"),
    ):
        save_file(changed, folder / "model.safetensors", {"format": "pt"})
        assert f"do not fit its config.json: {problem}." in _refusal(folder)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"auto_map": {"AutoModel": "net.Net"}}, "needs Python code that comes with it"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"_attn_implementation": "someone/attention"}, "names code for its attention"),
        ({"backbone": "someone/backbone"}, "names its backbone"),
        ({"parts": [{"auto_map": {"AutoModel": "net.Net"}}]}, "needs Python code that comes with it"),
        ({"architectures": None}, "does not say which architectures"),
        ({"architectures": ["SegformerForImageClassification"]}, "no network for semantic segmentation"),
        ({"architectures": ["DetrForSegmentation"], "model_type": "detr"}, "no network for semantic segmentation"),
        ({"model_type": "beit"}, "no network for semantic segmentation"),
    ],
)
def test_configurations_that_are_refused(tmp_path, entries, reason):
    folder = _saved(tmp_path / "net")
    _edit(folder / "config.json", **entries)
    assert reason in _refusal(folder)


def test_a_processor_with_code(tmp_path):
    folder = _saved(tmp_path / "net")
    _edit(folder / "preprocessor_config.json", auto_map={"AutoImageProcessor": "net.Processor"})
    assert "needs Python code that comes with it" in _refusal(folder)


def test_a_folder_of_something_else(tmp_path):
    assert "is a folder; give the checkpoint in it, or a folder of transformers" in _refusal(tmp_path)


def test_without_transformers(tmp_path, monkeypatch):
    folder = _saved(tmp_path / "net")
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert _refusal(folder).endswith("which is not installed: pip install transformers.")


def test_on_the_command_line(tmp_path, shell):
    folder, image, out = _saved(tmp_path / "net"), tmp_path / "image.png", tmp_path / "results"
    Image.fromarray((random_image(3, 48, 48, seed=1).transpose(1, 2, 0) * 255).astype(np.uint8)).save(image)
    code, _, error = shell("jacobian", "--model", folder, "--image", image, "--stride", 24, "--out", out)
    assert code == 0, error
    manifest, _ = read_manifest(out / "image.zarr")
    assert manifest.weights_hash == load_segmenter(folder, "cpu").weights_hash
    code, text, error = shell("info", "--model", folder, "--size", 48, 48)
    assert code == 0, error
    assert "0 road, 1 tree, 2 sky" in text
    assert "SegformerForSemanticSegmentation" in text
