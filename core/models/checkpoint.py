"""Reading and writing checkpoints.

Ours are safetensors files whose metadata holds the architecture, its arguments, the class names, the normalisation,
the training data and the scores as one JSON object. PyTorch files (`.pth`, `.pt`) are read with `weights_only=True`:
nothing in a checkpoint is ever executed.
"""

import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from core.errors import UserError
from core.files import write_atomically
from core.models.zoo import SIZE_MULTIPLES, build_module, recognise
from core.segmenter import Segmenter

WEIGHTS_FOLDER = Path(__file__).resolve().parents[2] / "weights"

_METADATA_KEY = "whypixel"
_STATE_DICT_KEYS = ("model_state_dict", "state_dict")


@dataclass(frozen=True)
class CheckpointInfo:
    """All that a checkpoint says beside its weights.

    Attributes:
        architecture: Its name in `core.models.ARCHITECTURES`.
        arguments: What the architecture is built with.
        class_names: One name a class; empty where not known.
        in_channels: Channels of the image.
        mean: Of the normalisation, one number or one a channel, for images in [0, 1].
        std: Likewise.
        training: What it was trained on and how; free form.
        scores: Measured scores by name; free form.
    """

    architecture: str
    arguments: dict[str, Any]
    class_names: tuple[str, ...] = ()
    in_channels: int = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: str | Path, module: nn.Module, info: CheckpointInfo) -> Path:
    """Write weights and info as one safetensors file, whole or not at all.

    Returns:
        The path, whose suffix must be `.safetensors`.

    Raises:
        UserError: Another suffix.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(f"A checkpoint is written as .safetensors; {path.name} has another suffix.")
    state_dict = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    content = safetensors_bytes(state_dict, {_METADATA_KEY: json.dumps(asdict(info), sort_keys=True)})
    return write_atomically(path, content)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], CheckpointInfo | None]:
    """Weights and info of a checkpoint file; the info is None where the file does not hold it.

    Args:
        path: A `.safetensors` file, or a `.pth` or `.pt` file with a state dict, alone or as the entry
            "model_state_dict" or "state_dict" of a training checkpoint. A prefix "module." on every key is dropped.

    Raises:
        UserError: No such file, a damaged file, a file with Python code in it, or one without weights.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}; give a file, or one of: {', '.join(shipped_weights())}.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path), None


def load_segmenter(
    path_or_name: str | Path,
    device: str | torch.device = "auto",
    *,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
) -> Segmenter:
    """A segmenter from a checkpoint file or the name of one that is shipped.

    Args:
        path_or_name: A file, or a name such as "vessmap" from `weights/`.
        device: "auto", "cpu" or "cuda".
        architecture: Where the file does not say it and its keys do not tell.
        arguments: Of that architecture.
        class_names: Instead of the file's.
        mean: Of the normalisation, instead of the file's (0 where it says none).
        std: Of the normalisation, instead of the file's (1 where it says none).

    Raises:
        UserError: A file that cannot be read, an architecture that is not known, or weights that do not fit it.
    """
    path = find_checkpoint(path_or_name)
    state_dict, info = read_checkpoint(path)
    info = _complete(info, state_dict, path, architecture, arguments)
    with torch.device("meta"):  # no memory is taken before the shapes are known to fit the file
        module = build_module(info.architecture, info.arguments)
    _load_weights(module, state_dict, path, info.architecture)
    # The layout that convolutions are fastest in; names, shapes and values stay as they are.
    module = module.to(memory_format=torch.channels_last)
    return Segmenter(
        module,
        class_names=class_names or info.class_names or None,
        in_channels=info.in_channels,
        mean=info.mean if mean is None else mean,
        std=info.std if std is None else std,
        size_multiple=SIZE_MULTIPLES[info.architecture],
        device=device,
        name=path.stem,
    )


def shipped_weights() -> dict[str, Path]:
    """The checkpoints in `weights/`, by name."""
    return {path.stem: path for path in sorted(WEIGHTS_FOLDER.glob("*.safetensors"))}


def find_checkpoint(path_or_name: str | Path) -> Path:
    """The file of a checkpoint given by its path or, if it is shipped, by its name."""
    if isinstance(path_or_name, str) and path_or_name in shipped_weights():
        return shipped_weights()[path_or_name]
    return Path(path_or_name)


def _complete(
    info: CheckpointInfo | None,
    state_dict: Mapping[str, Tensor],
    path: Path,
    architecture: str | None,
    arguments: Mapping[str, Any] | None,
) -> CheckpointInfo:
    """The info, from what the caller said, else the file, else the keys."""
    if architecture is not None:
        arguments = dict(arguments or {})
        base = info or CheckpointInfo(architecture, arguments)
        in_channels = int(arguments.get("in_channels", base.in_channels))
        return replace(base, architecture=architecture, arguments=arguments, in_channels=in_channels)
    if info is not None:
        return info
    recognised = recognise(state_dict)
    if recognised is None:
        first_keys = ", ".join(list(state_dict)[:3])
        raise UserError(
            f"{path.name} does not say its architecture and its keys ({first_keys}, …) match none that is known; "
            "name the architecture."
        )
    architecture, arguments = recognised
    return CheckpointInfo(architecture, arguments, in_channels=arguments["in_channels"])


def _load_weights(module: nn.Module, state_dict: Mapping[str, Tensor], path: Path, architecture: str) -> None:
    try:
        module.load_state_dict(state_dict, assign=True)
    except RuntimeError as error:
        own = module.state_dict()
        fitting = sum(key in own and own[key].shape == value.shape for key, value in state_dict.items())
        raise UserError(
            f"The weights in {path.name} do not fit the architecture {architecture}: {fitting} of {len(state_dict)} "
            f"entries match its {len(own)}; it is a checkpoint of another architecture or of other arguments."
        ) from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], CheckpointInfo | None]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state_dict = _without_prefix({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path.name} is not a whole safetensors file: {error}.") from error
    if _METADATA_KEY not in metadata:
        return state_dict, None
    try:
        entries = json.loads(metadata[_METADATA_KEY])
        known = {entry.name for entry in fields(CheckpointInfo)}
        info = _checked(CheckpointInfo(**{key: value for key, value in entries.items() if key in known}))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"The metadata of {path.name} cannot be read: {error}.") from error
    return state_dict, info


def _checked(info: CheckpointInfo) -> CheckpointInfo:
    """The info with values of the right types, or a TypeError or ValueError."""
    if not isinstance(info.architecture, str) or not isinstance(info.arguments, dict):
        raise TypeError("the architecture is a name and its arguments are named")
    checked = replace(
        info,
        class_names=tuple(str(name) for name in info.class_names),
        in_channels=int(info.in_channels),
        mean=tuple(float(value) for value in info.mean),
        std=tuple(float(value) for value in info.std),
    )
    if checked.in_channels != checked.arguments.get("in_channels", checked.in_channels):
        raise ValueError("the channels of the image are not those of the architecture")
    return checked


def _read_torch(path: Path) -> dict[str, Tensor]:
    if _is_torchscript(path):
        raise UserError(
            f"{path.name} is a TorchScript archive, which is compiled code rather than weights; save the module's "
            "state_dict() and load that."
        )
    with path.open("rb") as file:
        signature = file.read(2)
    if signature == b"PK" and not zipfile.is_zipfile(path):
        raise UserError(f"{path.name} is not a whole PyTorch checkpoint: it is cut off.")
    if signature != b"PK" and signature[:1] != pickle.PROTO:
        raise UserError(f"{path.name} is not a PyTorch checkpoint, whatever its name says.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path.name} holds Python objects beside weights, which could run code when opened, so it was not opened; "
            "save the module's state_dict() and load that."
        ) from error
    except Exception as error:  # whatever a damaged pickle makes its reader raise
        reason = str(error).splitlines()[0] if str(error) else "it ends too early"
        raise UserError(f"{path.name} is not a whole PyTorch checkpoint: {reason}.") from error
    return _without_prefix(_state_dict_in(content, path.name))


def _state_dict_in(content: object, name: str) -> dict[str, Tensor]:
    """The state dict that a PyTorch file holds, alone or as an entry of a training checkpoint."""
    if isinstance(content, Mapping):
        for key in _STATE_DICT_KEYS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{name} holds no state dict; save the module's state_dict() and load that.")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        raise UserError(
            f"{name} holds no state dict under a known name ({', '.join(_STATE_DICT_KEYS)}); save the module's "
            "state_dict() and load that."
        )
    return dict(content)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _without_prefix(state_dict: dict[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """Without what `torch.nn.DataParallel` puts before every key."""
    if state_dict and all(key.startswith(prefix) for key in state_dict):
        return {key.removeprefix(prefix): value for key, value in state_dict.items()}
    return state_dict
