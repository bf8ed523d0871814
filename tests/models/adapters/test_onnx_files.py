"""ONNX files: converted to torch, with the values of ONNX Runtime and the gradients of the network exported."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import Target, UserError, load_segmenter
from core.attribution import gradient
from core.models import identify
from tests.jacobian.coupled_networks import NORMS, CoupledUNet
from tests.jacobian.rows import largest_relative_error, lively

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx2torch")
SIZE = (48, 64)


class Various(nn.Module):
    """Two biases of zero, which exporters share; LayerNorm; resizing to a size; three results."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.up, self.norm = nn.ConvTranspose2d(8, 8, 2, 2), nn.LayerNorm(8)
        self.head, self.other = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        values = F.gelu(self.second(F.relu(self.first(images))))
        batch, channels, height, width = values.shape
        tokens = self.norm(values.reshape(batch, channels, height * width).transpose(1, 2))
        values = tokens.transpose(1, 2).reshape(batch, channels, height, width)
        resized = F.interpolate(self.up(F.avg_pool2d(values, 2)), size=images.shape[-2:], mode="bilinear")
        return self.head(resized), self.other(resized)


def various() -> Various:
    module = lively(Various())
    for part in (module.first, module.second):
        nn.init.zeros_(part.bias)
    return module


def export(
    module: nn.Module, path: Path, *, size=SIZE, dynamic=True, opset=17, channels=3, batch=1, names=("scores",)
) -> Path:
    axes = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is deprecated
        torch.onnx.export(
            module.eval(), (torch.rand(batch, channels, *size),), str(path), dynamo=False, opset_version=opset,
            input_names=["images"], output_names=[*names],
            dynamic_axes={"images": axes, **dict.fromkeys(names, axes)} if dynamic else None,
        )  # fmt: skip
    return path


def one_node(path: Path, operation: str, *, domain="", shape=(1, 3, "h", "w"), kind=None, **attributes) -> Path:
    """A file with one operation that takes the image and weights of two values."""
    kind = onnx.TensorProto.FLOAT if kind is None else kind
    value = onnx.helper.make_tensor_value_info
    scales = onnx.helper.make_tensor("scales", onnx.TensorProto.FLOAT, [4], [1.0, 1.0, 1.5, 1.5])
    node = onnx.helper.make_node(operation, ["images", "", "scales"], ["scores"], domain=domain, **attributes)
    graph = onnx.helper.make_graph(
        [node], "g", [value("images", kind, shape)], [value("scores", kind, [None] * 4)], [scales]
    )
    domains = [onnx.helper.make_opsetid("", 17), *([onnx.helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(onnx.helper.make_model(graph, opset_imports=domains, ir_version=9), path)
    return path


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize(("norm", "end"), [("instance", "pooled"), ("group", "excite")])
def test_labels_and_rows_are_those_of_the_network_exported(tmp_path, norm, end, opset):
    module = lively(CoupledUNet(NORMS[norm], 3, 4, end, 3))
    path = export(module, tmp_path / "net.onnx", opset=opset)
    image = torch.rand(3, 56, 72, generator=torch.Generator().manual_seed(0))
    segmenter = load_segmenter(path, mean=(0.4, 0.5, 0.6), std=0.25, class_names=("a", "b"))
    leaf = image.clone().requires_grad_()
    normalised = (leaf - torch.tensor((0.4, 0.5, 0.6)).view(3, 1, 1)) / 0.25
    logits = module(normalised[None])[0]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels = session.run(None, {"images": normalised[None].detach().numpy()})[0][0].argmax(0)
    np.testing.assert_array_equal(segmenter.predict(image).labels, labels)
    (row,) = torch.autograd.grad(logits[1, 20, 31], leaf)
    found = gradient(segmenter, image, Target.pixel(20, 31, 1, "logit")).values
    assert largest_relative_error(found, row.numpy()) <= 2e-5
    assert any("ONNX Runtime" in note for note in segmenter.notes)


def test_one_of_several_results_by_its_name(tmp_path):
    module = various()
    path = export(module, tmp_path / "net.onnx", names=("classes", "parts"))
    assert "Identity" in {node.op_type for node in onnx.load(path).graph.node}  # how a shared bias is exported
    image = torch.rand(3, *SIZE)
    with pytest.raises(UserError, match="output='classes'"):
        load_segmenter(path).predict(image)
    segmenter = load_segmenter(path, output="parts")
    np.testing.assert_allclose(segmenter.logits(image).detach(), module(image[None])[1].detach(), atol=1e-5)


def test_a_fixed_size_is_kept_to(tmp_path):
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1), nn.Sigmoid())
    path = export(lively(module), tmp_path / "net.onnx", dynamic=False, channels=2)
    segmenter, image = load_segmenter(path), torch.rand(2, *SIZE)
    assert segmenter.in_channels == identify(path).arguments["in_channels"] == 2
    np.testing.assert_allclose(segmenter.predict(image).probabilities[1], module(image[None])[0, 0].detach(), atol=1e-5)
    assert any("sigmoid" in note for note in segmenter.notes)
    with pytest.raises(UserError, match="48 × 64"):
        segmenter.predict(torch.rand(2, 49, 64))


def test_what_the_converter_takes_wrongly_is_refused(tmp_path):
    """Torch has no nearest neighbour that rounds like this."""
    path = one_node(
        tmp_path / "net.onnx",
        "Resize",
        mode="nearest",
        nearest_mode="ceil",
        coordinate_transformation_mode="half_pixel",
    )
    with pytest.raises(UserError, match="other values than ONNX Runtime"):
        load_segmenter(path)


def test_weights_beside_the_file_but_never_outside_its_folder(tmp_path):
    module = various()
    folder = tmp_path / "folder"
    folder.mkdir()
    model = onnx.load(export(module, tmp_path / "whole.onnx", names=("a", "b")))
    onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    image = torch.rand(3, *SIZE)
    expected = load_segmenter(tmp_path / "whole.onnx", output="a").logits(image)
    assert torch.equal(load_segmenter(folder / "net.onnx", output="a").logits(image), expected)
    (folder / "net.data").rename(tmp_path / "net.data")
    with pytest.raises(UserError, match="not a whole ONNX file: it keeps weights in another file"):
        load_segmenter(folder / "net.onnx")
    (folder / "net.data").symlink_to(tmp_path / "net.data")
    with pytest.raises(UserError, match="not a whole ONNX file"):
        load_segmenter(folder / "net.onnx")
    for location in ("../net.data", str(tmp_path / "net.data")):
        moved = onnx.load(folder / "net.onnx", load_external_data=False)
        for tensor in moved.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        (folder / "moved.onnx").write_bytes(moved.SerializeToString())
        with pytest.raises(UserError, match="not a whole ONNX file"):
            load_segmenter(folder / "moved.onnx")


def test_what_cannot_be_loaded_says_so(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"

    def refused(match, **options):
        with pytest.raises(UserError, match=match):
            load_segmenter(path, **options)

    refused("no ONNX file")
    path.touch()
    refused("is empty")
    path.write_bytes(b"not a network at all")
    refused("not a whole ONNX file")
    export(various(), path, names=("a", "b"))
    refused("leave out architecture", architecture="unet")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("not a whole ONNX file")
    one_node(path, "Steal", domain="mine")
    refused("mine.Steal, which is none of ONNX's own")
    one_node(path, "Resize", shape=(1, 224, 224, 3))
    refused("takes float of the shape")
    one_node(path, "Resize", shape=(1, "channels", 224, 224))
    refused("fixed number of channels")
    one_node(path, "Resize", shape=(8, 3, 32, 32))
    refused("for one image")
    one_node(path, "Resize", kind=onnx.TensorProto.UINT8)
    refused("takes uint8")
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    refused("needs the package onnx2torch; install it")
