"""Reading PyTorch files (`.pth`, `.pt`, `.ckpt`): weights and the record of their training, and never any code.

Files are read with `weights_only=True`. NumPy numbers, arrays, paths and options that a training loop put beside the
weights are read by the stand-ins below, so that only code of this file runs, not even NumPy's own readers.
"""

import contextlib
import pickle
import threading
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .metadata import is_plain_record

_STATE_DICT_KEYS = (
    *("model_state_dict", "state_dict", "model_state", "model", "net", "network", "weights"),
    "network_weights",  # nnU-Net's
)
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_MOST_PREFIXES = 10
"""Most prefixes of a key; "_orig_mod.module." has two."""
_MOST_ENTRIES = 100
"""Most entries of the record, and of each mapping in it: more of them are no metrics."""
_reading = threading.Lock()


def read_pytorch(path: Path) -> Any:
    """The content of a PyTorch file, for `weights_and_record`.

    Raises:
        UserError: A damaged file, a TorchScript archive, or a file with Python objects in it.
    """
    names: list[str] = []
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("constants.pkl") for name in names):
        raise UserError(
            f"{path.name} is a TorchScript archive, which is compiled code rather than weights; save the module's "
            "state_dict() and load that."
        )
    with path.open("rb") as file:
        signature = file.read(2)
    if signature == b"PK" and not zipfile.is_zipfile(path):
        raise UserError(f"{path.name} is not a whole PyTorch checkpoint: it is cut off.")
    if not signature:
        raise UserError(f"{path.name} is not a PyTorch checkpoint: it is empty.")
    if signature == b"PK" and not any(name.endswith("/data.pkl") for name in names):
        raise UserError(
            f"{path.name} is a ZIP archive without a PyTorch checkpoint in it; unpack it, and give the checkpoint."
        )
    if signature != b"PK" and signature[:1] != pickle.PROTO:
        raise UserError(f"{path.name} is not a PyTorch checkpoint, although its name says so.")
    try:
        with _reading, torch.serialization.safe_globals(_stand_ins()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path.name} holds Python objects beside weights, which could run code when opened, so it was not opened; "
            "save the module's state_dict() and load that."
        ) from error
    except Exception as error:  # whatever a damaged pickle makes its reader raise
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else "it ends too early"
        raise UserError(f"{path.name} is not a whole PyTorch checkpoint: {reason}.") from error


def weights_and_record(content: Any, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict, and the numbers and words beside it (epoch, metrics), in the content of a PyTorch file.

    Raises:
        UserError: There are no weights in the file of this name.
    """
    return without_prefix(_state_dict_in(content, name)), _record_in(content)


def without_prefix(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the prefixes that data parallelism, compilation or a wrapping module puts before keys."""
    for _ in range(_MOST_PREFIXES):
        weights = {key: value for key, value in state_dict.items() if key != "n_averaged"}
        if weights and all(key.startswith("module.") for key in weights):
            state_dict = weights
        prefix = next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state_dict)), None)
        if not state_dict or prefix is None:
            break
        state_dict = {key.removeprefix(prefix): value for key, value in state_dict.items()}
    return state_dict


def _state_dict_in(content: object, name: str) -> dict[str, Tensor]:
    """The state dict that a PyTorch file holds, alone or as an entry of a training checkpoint."""
    if isinstance(content, Mapping):
        entry = next((content[key] for key in _STATE_DICT_KEYS if isinstance(content.get(key), Mapping)), None)
        content = content if entry is None else entry
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{name} holds no state dict; save the module's state_dict() and load that.")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        raise UserError(
            f"{name} holds no state dict under a known name ({', '.join(_STATE_DICT_KEYS)}); save the module's "
            "state_dict() and load that."
        )
    return dict(content)


def _record_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are numbers or short words, or mappings of some: "epoch", "metrics"; no tensors or optimiser."""
    record: dict[str, Any] = {}
    content = {key: value for key, value in content.items() if is_plain_record(key)}
    for key, value in content.items():
        if isinstance(value, Mapping) and key not in _STATE_DICT_KEYS and "param_groups" not in value:
            inner = {
                str(name): entry for name, entry in value.items() if is_plain_record(name) and is_plain_record(entry)
            }
            if inner and len(inner) <= _MOST_ENTRIES:
                record[str(key)] = inner
        elif is_plain_record(value):
            record[str(key)] = value
    return dict(list(record.items())[:_MOST_ENTRIES])


class _NumberType:
    """Stands in for `numpy.dtype`: the code of a number's type and its byte order."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = str(code)
        self.order: Literal["<", ">", "="] = "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="


class _Ignored:
    """Stands in for objects beside the weights that are not needed: an array, a path, a time, a namespace."""

    def __init__(self, *_: object) -> None:
        """Take anything and keep nothing."""

    __setstate__ = __init__


def _numpy_scalar(kind: object, content: object = b"") -> float | int | bool | None:
    """The Python number in these bytes; None where the type is not that of a number."""
    if not isinstance(kind, _NumberType) or not isinstance(content, bytes):
        return None
    found = np.dtype(kind.code).newbyteorder(kind.order)
    if found.kind not in "biuf" or found.itemsize != len(content):
        return None
    return np.frombuffer(content, found)[0].item()


def _stand_ins() -> list[Any]:
    numpy_modules = "numpy._core.multiarray", "numpy.core.multiarray"
    ignored = (
        *("numpy.ndarray", "argparse.Namespace", "types.SimpleNamespace"),
        *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
        *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta")),
    )
    return [
        (_NumberType, "numpy.dtype"),
        *((_numpy_scalar, f"{module}.scalar") for module in numpy_modules),
        *((_Ignored, name) for name in (*ignored, *(f"{module}._reconstruct" for module in numpy_modules))),
    ]
