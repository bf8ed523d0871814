"""ONNX files: converted to torch, so that gradients flow, and compared with ONNX Runtime before they are used.

onnx2torch converts; it knows operations up to opset 17, so newer files are first converted to that. Of two converters
that were tried, onnx2pytorch 0.6 gave other values for InstanceNormalization without a scale (GroupNorm's export) and
refused convolutions whose bias is shared. What a converter takes wrongly is found by the comparison and refused.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import UserError
from ..ranges import MOST_CHANNELS, shortened
from ..zoo.architecture import Architecture, register

NAME, SUFFIX = "onnx", ".onnx"
_TOLERANCE = 1e-4
"""Largest difference to ONNX Runtime, as a fraction of the largest value."""
_OPSET = 17
_MOST_BYTES = 2**31 - 1
"""Largest file that protobuf reads."""
_LEAST = float(np.finfo(np.float32).tiny)
_OPERATIONS = ("", "ai.onnx")
_SIZES = ((64, 96), (96, 64), (128, 192), (192, 128), (256, 384), (384, 256), (224, 224), (512, 512))


class _Converted(nn.Module):
    """A converted graph that takes only what its file states.

    Attributes:
        graph: What the converter made.
        outputs: Names of the results.
        image_size: Height and width, where the file states them.
    """

    def __init__(self, graph: nn.Module, outputs: tuple[str, ...], image_size: tuple[int | None, int | None]) -> None:
        super().__init__()
        self.graph, self.outputs, self.image_size = graph, outputs, image_size

    def forward(self, images: Tensor) -> Tensor | Mapping[str, Tensor]:
        """The result for images (B, C, H, W); by name where there are several."""
        for found, stated in zip(images.shape[2:], self.image_size, strict=True):
            if stated not in (None, found):
                raise ValueError(f"the ONNX file states {' × '.join(str(side or 'any') for side in self.image_size)}")
        result = self.graph(images)
        return dict(zip(self.outputs, result, strict=True)) if isinstance(result, list | tuple) else result


def read_onnx(path: Path) -> tuple[nn.Module, int, list[str]]:
    """The network in an ONNX file, the channels of its images, and notes.

    Raises:
        UserError: A missing package or file, a damaged file, one with operations of its own or without a single image
            as its input, or one that the converter does not give the values of ONNX Runtime for.
    """
    packages = _packages()
    model = _model(path, packages["onnx"])
    name, channels, size = _image_input(model, path, packages["onnx"])
    original = model.SerializeToString()
    outputs = tuple(output.name for output in model.graph.output)
    module = _Converted(_converted(model, path, packages), outputs, size).eval()
    difference = _compared(module, original, path, name, channels, packages["onnxruntime"])
    notes = [
        f"converted from ONNX; it differs from ONNX Runtime by {difference:.0e} of the largest value",
        "an ONNX file does not state how images were normalised before it: mean and std are those given, else none",
    ]
    return module, channels, notes


def channels_in(path: Path) -> int:
    """The channels of the images that the network in an ONNX file takes.

    Raises:
        UserError: As for `read_onnx`, but for what is found out by converting it.
    """
    packages = _packages()
    return _image_input(_model(path, packages["onnx"]), path, packages["onnx"])[1]


def _packages() -> dict[str, ModuleType]:
    found = {}
    for name in ("onnx", "onnx.inliner", "onnx.version_converter", "onnx2torch", "onnxruntime"):
        try:
            found[name] = importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"An ONNX file needs the package {name.partition('.')[0]}; install it with "
                "`pip install onnx onnx2torch onnxruntime`."
            ) from error
    return found


def _model(path: Path, onnx: Any) -> Any:
    """The model of a file, checked, with its external data."""
    if not path.is_file():
        raise UserError(f"There is no ONNX file {path}.")
    if not 0 < path.stat().st_size <= _MOST_BYTES:
        raise UserError(f"{path.name} is {'larger than 2 GB' if path.stat().st_size else 'empty'}; export it again.")
    try:
        model = onnx.load(path, load_external_data=False)
        foreign = {f"{node.domain}.{node.op_type}" for node in _nodes(model)} if model.graph.node else set()
        _load_weights_beside(model, path, onnx)
        onnx.checker.check_model(model)
    except UserError:
        raise
    except Exception as error:  # whatever protobuf and the checker raise
        reason = shortened(" ".join(str(error).split()) or type(error).__name__, 120).rstrip(".")
        raise UserError(f"{path.name} is not a whole ONNX file: {reason}.") from error
    if foreign:
        raise UserError(
            f"{path.name} uses the operation {shortened(min(foreign), 80)}, which is none of ONNX's own; export it "
            "without, or load the torch network."
        )
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    return model


def _load_weights_beside(model: Any, path: Path, onnx: Any) -> None:
    try:
        onnx.load_external_data_for_model(model, str(path.parent))  # which refuses what lies outside this folder
    except Exception as error:
        raise UserError(
            f"{path.name} is not a whole ONNX file: it keeps weights in another file, which is not in its folder or is "
            "damaged; save all in one file with onnx.save."
        ) from error


def _nodes(model: Any) -> list[Any]:
    """Nodes with operations that neither ONNX nor the file itself defines."""
    own = {(function.domain, function.name) for function in model.functions}
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    return [node for node in nodes if node.domain not in _OPERATIONS and (node.domain, node.op_type) not in own]


def _image_input(model: Any, path: Path, onnx: Any) -> tuple[str, int, tuple[int | None, int | None]]:
    """Name, channels, and height and width where they are fixed, of the one input."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise UserError(f"{path.name} has {len(inputs)} inputs; export a network that takes the image alone.")
    stated = inputs[0].type.tensor_type
    sides = [side.dim_value or None for side in stated.shape.dim]
    batch, channels, height, width = sides if len(sides) == 4 else (0, None, None, None)
    is_last = width is not None and width <= 4 and (channels is None or channels > width)
    fits = batch in (None, 1) and channels is not None and channels <= MOST_CHANNELS and not is_last
    if not fits or stated.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(stated.elem_type).lower()
        shape = ", ".join(side.dim_param or str(side.dim_value) for side in stated.shape.dim)
        raise UserError(
            f"{path.name} takes {kind} of the shape ({shape}); export it for one image float32 "
            "(1, channels, height, width) with a fixed number of channels."
        )
    assert channels is not None  # noqa: S101 - `fits` says so
    return inputs[0].name, channels, (height, width)


def _converted(model: Any, path: Path, packages: Mapping[str, Any]) -> nn.Module:
    """The graph as a torch module."""
    _name_shared_weights(model.graph, packages["onnx"])
    reason: Exception | None = None
    for newest in (None, _OPSET):
        try:
            suitable = model if newest is None else packages["onnx"].version_converter.convert_version(model, newest)
            module = packages["onnx2torch"].convert(suitable)
        except Exception as error:  # noqa: BLE001 - whatever the converters raise for an operation that they do not know
            reason = reason or error
            continue
        for part in module.modules():
            if isinstance(part, nn.LayerNorm):  # the converter takes the shape from the input, where it is unknown
                part.normalized_shape = tuple(part.weight.shape)
        return module
    raise UserError(
        f"{path.name} cannot be converted to torch ({shortened(' '.join(str(reason).split()), 160)}); load the torch "
        "network that it was exported from, or export it with opset 17."
    ) from reason


def _name_shared_weights(graph: Any, onnx: Any) -> None:
    """Give each use of shared weights its own: equal ones are shared through Identity, which onnx2torch refuses."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    results = {output.name for output in graph.output}
    for node in [*graph.node]:
        if node.op_type == "Identity" and node.input[0] in weights and node.output[0] not in results:
            copy = onnx.TensorProto()
            copy.CopyFrom(weights[node.input[0]])
            copy.name = node.output[0]
            weights[copy.name] = copy
            graph.initializer.append(copy)
            graph.node.remove(node)


@torch.no_grad()
def _compared(module: _Converted, model: bytes, path: Path, name: str, channels: int, onnxruntime: Any) -> float:
    """The largest difference to ONNX Runtime, relative to the largest value, on noise of two sizes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    differences: list[float] = []
    reason: Exception | None = None
    fixed = module.image_size
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever its native code raises
        raise UserError(f"ONNX Runtime cannot run {path.name} ({_first_line(error)}); export it again.") from error
    sizes = dict.fromkeys((fixed[0] or height, fixed[1] or width) for height, width in _SIZES)
    for size in sizes:
        noise = np.random.default_rng(0).standard_normal((1, channels, *size), dtype=np.float32)
        try:
            expected = session.run(None, {name: noise})
        except Exception as error:  # noqa: BLE001 - as above: it does not take this size
            reason = error
            continue
        try:
            result = module(torch.from_numpy(noise))
        except Exception as error:
            raise UserError(
                f"{path.name} converted to torch cannot run images of {size[0]}×{size[1]} pixels, which ONNX Runtime "
                f"does ({_first_line(error)}); load the torch network that it was exported from."
            ) from error
        found = [*result.values()] if isinstance(result, Mapping) else [result]
        differences += [_difference(own.numpy(), other) for own, other in zip(found, expected, strict=True)]
        if len(differences) >= 2 * len(expected):
            break
    if not differences:
        raise UserError(f"ONNX Runtime runs {path.name} with none of the usual image sizes ({_first_line(reason)}).")
    if not max(differences) <= _TOLERANCE:
        raise UserError(
            f"{path.name} converted to torch gives other values than ONNX Runtime (they differ by "
            f"{max(differences):.1g} of the largest, and {_TOLERANCE:g} is allowed); load the torch network that it "
            "was exported from."
        )
    return max(differences)


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference as a fraction of the largest value; infinite where shapes or missing values differ."""
    if found.shape != expected.shape or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return np.inf
    largest = float(np.abs(expected).max(initial=0))
    return float(np.abs(found.astype(float) - expected).max(initial=0)) / max(largest, _LEAST)


def _first_line(error: Exception | None) -> str:
    return shortened((str(error).splitlines() or [type(error).__name__])[0], 120)


def _build(**_: object) -> nn.Module:
    raise UserError("an ONNX network comes from its file; give the path of that")


register(NAME, Architecture(_build, lambda _: None), listed=False)
