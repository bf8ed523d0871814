"""Small stores, and what a stranger or a bad disk may do to one."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from core.jacobian import Jacobian, jacobian
from core.segmenter import Segmenter

ARRAYS = (
    "image",
    "labels",
    "row_support",
    "column_support",
    "row_colour",
    "column_colour",
    "passes",
    "selected",
    "statistics",
    "histogram",
    "boxes",
    "centred",
    "rows",
)
CONSTANTS, RESULTS = ARRAYS[:8], ARRAYS[8:]


def small_segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(torch.nn.Conv2d(1, 2, 3, padding=1), class_names=("background", "vessel"), in_channels=1)


def small_store(path: Path, size: int, batch_size: int | None = None) -> Jacobian:
    image = np.random.default_rng(size).random((1, size, size), dtype=np.float32)
    return jacobian(small_segmenter(), image, out=path, batch_size=batch_size)


def chunks(path: Path) -> list[Path]:
    """All chunks of a store, relative to it."""
    return sorted(file.relative_to(path) for file in path.rglob("c.*"))


def edit_metadata(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a store says of itself, as one who knows how would: with the right hash."""

    def edit(document: dict[str, Any]) -> None:
        entries = document["attributes"]["whypixel_jacobian"]
        change(entries)
        digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
        document["attributes"]["whypixel_hashes"]["manifest"] = digest

    edit_metadata(path / "zarr.json", edit)


def edit_constant(path: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Change the values of an array that is written once, and its hash."""
    array = zarr.open_array(path / name, mode="r+", zarr_format=3, config={"write_empty_chunks": True})
    values = np.array(array[...])
    change(values)
    array[...] = values
    digest = hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()
    edit_metadata(path / "zarr.json", lambda document: document["attributes"]["whypixel_hashes"].update({name: digest}))
