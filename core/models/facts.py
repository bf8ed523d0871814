"""What is known about a network, as words by name: of its file, and of the network itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..errors import UserError
from ..segmenter import Segmenter
from .checkpoint import info_in, read_training_record
from .loading import identify
from .metadata import CheckpointInfo


@dataclass(frozen=True)
class FileHeader:
    """What the head of a checkpoint says, without its weights.

    Attributes:
        info: Architecture, classes, training and scores; None where the file does not say, or has no such head.
        numbers: How many numbers its tensors hold, parameters and running statistics alike; None where that is not
            known without reading the file.
        size: Bytes of the file.
    """

    info: CheckpointInfo | None
    numbers: int | None
    size: int


def read_header(path: str | Path) -> FileHeader:
    """The head of a checkpoint; of a `.safetensors` file it tells most, of others only the size.

    Raises:
        UserError: No such file, or one that is not whole.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.suffix != ".safetensors":
            return FileHeader(None, None, size)
        with safe_open(path, "pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
            info = info_in(file.metadata() or {}, path.name)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path.name}.") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path.name} is not a whole safetensors file: {error}.") from error
    return FileHeader(info, sum(map(math.prod, shapes)), size)


def file_facts(path: Path, segmenter: Segmenter) -> dict[str, str]:
    """File, architecture, arguments and scores of a network that was loaded from a file."""
    identity = identify(path)
    lines = {
        "file": f"{path.name}, {path.stat().st_size / 1e6:.1f} MB",
        "architecture": f"{identity.architecture} ({class_name(segmenter)})",
        "arguments": entries(identity.arguments),
    }
    if record := read_training_record(path):
        lines["scores"] = entries(record)
    return lines


def network_facts(segmenter: Segmenter) -> dict[str, str]:
    """Parameters, channels, classes, normalisation, image sizes, hash and notes."""
    parameters = list(segmenter.module.parameters())
    megabytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters) / 1e6
    lines = {
        "parameters": f"{sum(parameter.numel() for parameter in parameters):,} ({megabytes:.1f} MB)",
        "channels": str(segmenter.in_channels),
        "classes": ", ".join(f"{index} {name}" for index, name in enumerate(segmenter.class_names)),
        "normalisation": f"mean {_numbers(segmenter.mean)}, std {_numbers(segmenter.std)}",
        "image sizes": {None: "found by trying", 1: "any"}.get(
            segmenter.size_multiple, f"multiples of {segmenter.size_multiple}; others are padded"
        ),
        "weights sha256": segmenter.weights_hash,
    }
    if segmenter.notes:
        lines["note"] = "; ".join(segmenter.notes)
    return lines


def class_name(segmenter: Segmenter) -> str:
    """The Python class of the network."""
    return type(segmenter.module).__name__


def entries(values: Mapping[str, Any]) -> str:
    """Names and values, commas between them; "none" where there are none."""
    return ", ".join(f"{name} {_words(value)}" for name, value in values.items()) or "none"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return f"({entries(value)})"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
