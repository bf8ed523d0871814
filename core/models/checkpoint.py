"""Reading and writing checkpoints.

Ours are safetensors files whose metadata holds the architecture, its arguments, the class names, the normalisation,
the training data and the scores as one JSON object. PyTorch files (`.pth`, `.pt`, `.ckpt`) are read with
`weights_only=True`: nothing in a checkpoint is ever executed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from ..errors import UserError
from ..io.files import write_atomically
from .adapters import nnunet, onnx_files
from .metadata import CheckpointInfo, parse_metadata
from .pytorch_files import read_pytorch, weights_and_record, without_prefix
from .ranges import InvalidValueError, shortened

_PACKAGE = Path(__file__).resolve().parents[1]
# Installed, the weights lie in the package; in a checkout beside it.
WEIGHTS_FOLDER = (_PACKAGE if (_PACKAGE / "weights").is_dir() else _PACKAGE.parent) / "weights"

_METADATA_KEY = "whypixel"
_DTYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8}
_DTYPES |= {torch.int8, torch.int16, torch.int32, torch.int64, torch.float8_e4m3fn, torch.float8_e5m2}


def save_checkpoint(path: str | Path, module: nn.Module, info: CheckpointInfo) -> Path:
    """Write weights and info as one safetensors file, whole or not at all.

    Returns:
        The path, whose suffix must be `.safetensors`.

    Raises:
        UserError: Another suffix, or an info that could not be read again, such as one with a repeated class name.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(f"A checkpoint is written as .safetensors; {path.name} has another suffix.")
    # Copies, since safetensors refuses tensors that share their memory, such as tied weights.
    state_dict = {key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}
    return write_atomically(path, safetensors_bytes(state_dict, metadata_of(info, path.name)))


def metadata_of(info: CheckpointInfo, name: str) -> dict[str, str]:
    """What a safetensors file says of its network.

    Raises:
        UserError: An info that could not be read again; the sentence names the file.
    """
    metadata = {_METADATA_KEY: json.dumps(asdict(info), sort_keys=True)}
    info_in(metadata, name)
    return metadata


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], CheckpointInfo | None]:
    """Weights and info of a checkpoint file; the info is None where the file does not hold it.

    Args:
        path: A `.safetensors` file, or a `.pth`, `.pt` or `.ckpt` file with a state dict, alone or as the entry
            "model_state_dict" or "state_dict" of a training checkpoint, or as nnU-Net v2 saves it. A prefix that every
            key has is dropped: "module.", "_orig_mod.", "model.", "net." or "network.".

    Raises:
        UserError: No such file, a damaged file, a file with Python code in it, or one without weights.
    """
    path = Path(path)
    state_dict, info, _ = _read(path)
    if not state_dict:
        raise UserError(f"{path.name} holds no weights; give the file that they were saved to.")
    for key, value in state_dict.items():
        usual = value.layout == torch.strided and value.dtype in _DTYPES
        if not usual or value.is_meta:
            kind = "no numbers" if value.is_meta else "values of another kind than plain numbers"
            raise UserError(
                f"{shortened(key, 80)} in {path.name} holds {kind} ({value.dtype}, {value.layout}); save it as a "
                "dense float32 tensor."
            )
    return state_dict, info


def read_training_record(path: str | Path) -> dict[str, Any]:
    """The training record of a checkpoint file, such as "epoch" and "metrics"; often empty.

    Raises:
        UserError: As `read_checkpoint`.
    """
    return {} if Path(path).suffix.lower() == onnx_files.SUFFIX else _read(Path(path))[2]


def shipped_weights() -> dict[str, Path]:
    """The checkpoints in `weights/`, by name."""
    return {path.stem: path for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))}


def find_checkpoint(path_or_name: str | Path) -> Path:
    """The file of a checkpoint given by its path or, if it is shipped, by its name."""
    if isinstance(path_or_name, str) and path_or_name in shipped_weights():
        return shipped_weights()[path_or_name]
    return Path(path_or_name)


def _read(path: Path) -> tuple[dict[str, Tensor], CheckpointInfo | None, dict[str, Any]]:
    """Weights, info and training record of a checkpoint file."""
    if path.is_dir():
        raise UserError(
            f"{path} is a folder; give the checkpoint in it, or a folder of transformers with its config.json."
        )
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}; give a file, or one of: {', '.join(shipped_weights())}.")
    if path.suffix != ".safetensors":
        content = read_pytorch(path)
        info = nnunet.info_of(content, path) if nnunet.is_checkpoint(content) else None
        state_dict, record = weights_and_record(content, path.name)
        return state_dict, info, record
    if path.stat().st_size == 0:
        raise UserError(f"{path.name} is not a whole safetensors file: it is empty.")
    try:
        with safe_open(path, "pt") as file:
            info = info_in(file.metadata() or {}, path.name)
            state_dict = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path.name} is not a whole safetensors file: {error}.") from error
    if info is None:  # from elsewhere; our own names are those of the module
        return without_prefix(state_dict), None, {}
    return state_dict, info, dict(info.scores)


def info_in(metadata: Mapping[str, str], name: str) -> CheckpointInfo | None:
    """The info in the metadata of a safetensors file; None where it holds none.

    Raises:
        UserError: Metadata that cannot be read; the sentence names the file.
    """
    if _METADATA_KEY not in metadata:
        return None
    try:
        return parse_metadata(metadata[_METADATA_KEY])
    except InvalidValueError as error:
        raise UserError(f"The metadata of {name} cannot be read: {error}") from error
