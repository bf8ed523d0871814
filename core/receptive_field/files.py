"""Receptive fields on disk, one file per network and image size."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..io.cache import cache_folder
from ..io.files import write_atomically
from .support import AxisSupport, ReceptiveField

_VERSION = 1
_MOST_FILES = 256
_LARGEST_FILE = 2**24
_COARSEST_ALIGNMENT = 2**12


class StoredField(NamedTuple):
    """A receptive field and the alignment of the windows that were proven with it; 0 where there are none."""

    field: ReceptiveField
    alignment: int


def field_file(weights_hash: str, size: tuple[int, int]) -> Path:
    """The file of a network, named by `Segmenter.weights_hash`, and an image size (height, width)."""
    return cache_folder() / "receptive_fields" / f"{weights_hash[:32]}-{size[0]}x{size[1]}.json"


def read_field(weights_hash: str, size: tuple[int, int]) -> StoredField | None:
    """What is on disk; None where nothing is, or nothing whole of this network, size and version."""
    path = field_file(weights_hash, size)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return None
        content = json.loads(path.read_bytes())
        checksum = content.pop("checksum")
        if checksum != _checksum(content) or content != content | _identity(weights_hash, size):
            return None
        rows, columns = _support(content["rows"], size[0]), _support(content["columns"], size[1])
        alignment = content["alignment"]
        if type(alignment) is not int or not 0 <= alignment <= _COARSEST_ALIGNMENT:
            return None
        field = ReceptiveField(rows, columns, bool(content["dense"]), str(content["reason"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
    return StoredField(field, alignment)


def write_field(weights_hash: str, stored: StoredField) -> None:
    """Write a field, and delete the oldest files beyond a limit. A folder that cannot be written to is left alone."""
    field = stored.field
    content: dict[str, Any] = _identity(weights_hash, field.size) | {
        "rows": {"first": field.rows.first.tolist(), "last": field.rows.last.tolist()},
        "columns": {"first": field.columns.first.tolist(), "last": field.columns.last.tolist()},
        "dense": field.dense,
        "reason": field.reason,
        "alignment": stored.alignment,
    }
    content["checksum"] = _checksum(content)
    path = field_file(weights_hash, field.size)
    with suppress(OSError):
        write_atomically(path, json.dumps(content).encode())
        files = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_MOST_FILES]:
            file.unlink(missing_ok=True)


def delete_field(weights_hash: str, size: tuple[int, int]) -> None:
    """Delete a field that proved wrong."""
    with suppress(OSError):
        field_file(weights_hash, size).unlink(missing_ok=True)


def _identity(weights_hash: str, size: tuple[int, int]) -> dict[str, Any]:
    return {"version": _VERSION, "weights_sha256": weights_hash, "size": list(size)}


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _support(content: dict[str, list[int]], length: int) -> AxisSupport:
    first, last = (np.array(content[name], np.int64) for name in ("first", "last"))
    if first.shape != (length,) or last.shape != (length,):
        raise ValueError("another length")
    if (first < 0).any() or (first > last).any() or (last >= length).any():
        raise ValueError("no intervals of the axis")
    return AxisSupport(first, last)
