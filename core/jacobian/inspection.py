"""Checking a store's files before Zarr opens any of them.

A store may come from anywhere. Zarr reads whatever format, codec and size a folder names, follows links and waits for
pipes; so a folder is opened only when each of its files is one that a run writes.
"""

import json
import os
import re
import stat
from collections.abc import Collection, Iterator
from math import prod
from pathlib import Path
from typing import Any

from ..errors import UserError
from .array_layouts import METADATA, ArrayLayout
from .manifest import SCHEMA, is_integer

MOST_IMAGE_VALUES = 2**27
"""Channels times pixels of the largest image that a store takes: 512 MiB."""

_LARGEST_METADATA = 2**20
_OPTIONAL: dict[str, Any] = {"attributes": {}, "storage_transformers": [], "dimension_names": None}
_UNFINISHED_FILE = re.compile(r".*\.[0-9a-f]{32}\.partial")
"""What a run that was killed in the middle of writing a file leaves behind."""
_FILE = re.compile(rf"{re.escape(METADATA)}|{_UNFINISHED_FILE.pattern}")
_FILE_OF_ARRAY = re.compile(rf"{_FILE.pattern}|c(\.\d{{1,10}})*")


def attributes_of(store: Path) -> dict[str, Any]:
    """The attributes of a store's group.

    Raises:
        ValueError: No group of Zarr version 3, or one with more to it than attributes.
    """
    document = _read_metadata(store, METADATA)
    attributes = document.pop("attributes", None)
    # Consolidated metadata would be believed in place of the arrays' own.
    expected = {"zarr_format": 3, "node_type": "group", "consolidated_metadata": None}
    if not _equal({"consolidated_metadata": None} | document, expected):
        raise ValueError(f"{METADATA} is not that of a store")
    if not isinstance(attributes, dict):
        raise ValueError(f"{METADATA} says nothing of the store")  # noqa: TRY004 - a store's fault, not a caller's
    return attributes


def check_schema(store: Path, schema: object) -> None:
    """Raise a UserError if a store is of another version's layout, and a ValueError if it is of none."""
    if not is_integer(1)(schema):
        raise ValueError("its entry “schema” is no version")
    if schema > SCHEMA:  # type: ignore[operator]
        raise UserError(f"{store} was written by a later version of this program; update the program.")
    if schema < SCHEMA:  # type: ignore[operator]
        raise UserError(
            f"{store} was written by an earlier version of this program, whose stores do not show when a part of them "
            "is damaged; compute it again in another folder, or delete it first."
        )


def check_files(store: Path, arrays: Collection[str]) -> None:
    """Raise a ValueError if a store holds anything but the folders of its arrays and, in them, metadata and chunks."""
    for entry in _entries(store, store):
        if entry.name in arrays and entry.is_dir(follow_symlinks=False):
            for part in _entries(store, Path(entry)):
                if part.is_dir(follow_symlinks=False) or not _FILE_OF_ARRAY.fullmatch(part.name):
                    raise ValueError(f"it holds {entry.name}/{part.name}, which is no part of one")
        elif entry.is_dir(follow_symlinks=False) or not _FILE.fullmatch(entry.name):
            raise ValueError(f"it holds {entry.name}, which is no part of one")


def shapes_of_constants(store: Path) -> tuple[tuple[int, int, int], int]:
    """The image's shape (C, H, W) and the number of passes, as their arrays give them.

    Raises:
        ValueError: They are no such numbers, or larger than any store's.
    """
    image: Any = _read_metadata(store, f"image/{METADATA}").get("shape")
    passes: Any = _read_metadata(store, f"passes/{METADATA}").get("shape")
    if not (_is_shape(image, 3) and prod(image) <= MOST_IMAGE_VALUES):
        raise ValueError("its image has no size that a store takes")
    if not (_is_shape(passes, 2) and passes[0] <= image[1] * image[2]):
        raise ValueError("it has more passes than its image has pixels")
    return (image[0], image[1], image[2]), passes[0]


def check_layout(store: Path, layout: ArrayLayout) -> None:
    """Raise a ValueError if an array's metadata is not, to the letter, what a run writes."""
    if not _equal(_OPTIONAL | _read_metadata(store, f"{layout.name}/{METADATA}"), _OPTIONAL | layout.document):
        raise ValueError(f"{layout.name}/{METADATA} is not that of the array a run makes")


def _read_metadata(store: Path, name: str) -> dict[str, Any]:
    file = store / name
    try:
        status = file.lstat()
    except FileNotFoundError as error:
        raise ValueError(f"{name} is missing") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_METADATA:
        raise ValueError(f"{name} is no small file")
    try:
        document = json.loads(file.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged") from error
    if not isinstance(document, dict):
        raise ValueError(f"{name} is damaged")  # noqa: TRY004 - a store's fault, not a caller's
    return document


def _entries(store: Path, folder: Path) -> Iterator[os.DirEntry[str]]:
    """The files and folders in a folder, none of them a link, a pipe or a device."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)):
                # A temporary file of a run in progress may be gone by now.
                if _UNFINISHED_FILE.fullmatch(entry.name) and not os.path.lexists(entry.path):
                    continue
                name = Path(entry.path).relative_to(store)
                raise ValueError(f"it holds {name}, which is neither a file nor a folder of its own")
            yield entry


def _is_shape(value: Any, dimensions: int) -> bool:
    return isinstance(value, list) and len(value) == dimensions and all(map(is_integer(1), value))


def _equal(document: Any, expected: Any) -> bool:
    """Whether two JSON values are the same to the letter: in Python 1, 1.0 and True are equal."""
    return json.dumps(document, sort_keys=True) == json.dumps(expected, sort_keys=True)
