"""Whether what a store says of itself can be true, before anything is built from it."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..target import SPACES
from .encoding import STORED_TYPES
from .store_layout import SCHEMA, Manifest
from .summaries import NUM_BINS

Check = Callable[[object], bool]

_LARGEST = 2**63 - 1
_MOST_CHANNELS = 2**16
_LONGEST_TEXT = 10_000
_MOST_VERSIONS = 100
_MOST_NOTES = 100
_HIGHEST_EDGE = 2047
"""The largest float32, NaN included, as the bits that count the edges of histograms."""
_SHA_256 = re.compile("[0-9a-f]{64}")


def is_integer(lowest: int, highest: int = _LARGEST) -> Check:
    """Whether a value is a whole number in a range; True and 1.0 are none."""
    return lambda value: type(value) is int and lowest <= value <= highest


def is_one_of(choices: tuple[str, ...]) -> Check:
    """Whether a value is one of some words."""
    return lambda value: isinstance(value, str) and value in choices


def is_text(value: object) -> bool:
    """Whether a value is a text that can be shown: not endless, and without the halves of broken characters."""
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and not re.search("[\ud800-\udfff]", value)


def is_hash(value: object) -> bool:
    """Whether a value is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and _SHA_256.fullmatch(value) is not None


def is_flag(value: object) -> bool:
    """Whether a value is True or False."""
    return isinstance(value, bool)


def _are_versions(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_VERSIONS
        and all(is_text(name) and is_text(version) for name, version in value.items())
    )


def _are_sentences(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) <= _MOST_NOTES and all(map(is_text, value))


CHECKS: Mapping[str, Check] = {
    "model": is_text,
    "weights_hash": is_hash,
    "image_hash": is_hash,
    "class_index": is_integer(0),
    "space": is_one_of(SPACES),
    "stride": is_integer(1),
    "region_hash": lambda value: value == "" or is_hash(value),
    "dtype": is_one_of(STORED_TYPES),
    "keep_rows": is_flag,
    "channels": is_integer(1, _MOST_CHANNELS),
    "dense": is_flag,
    "note": is_text,
    "batch_size": is_integer(1),
    "passes_per_block": is_integer(1),
    "lowest_bin": is_integer(1, _HIGHEST_EDGE + 3 * 8 - NUM_BINS),
    "versions": _are_versions,
    "schema": is_integer(SCHEMA, SCHEMA),
    "notes": _are_sentences,
}
"""For each entry of the manifest, whether a value is one that a run can have written."""


def checked_manifest(entries: Mapping[str, Any]) -> Manifest:
    """The manifest of its entries as they were read; entries that it does not know are left out.

    Raises:
        ValueError: An entry is missing, or has a value that no run writes.
    """
    for field in fields(Manifest):
        if field.name in entries:
            if not CHECKS[field.name](entries[field.name]):
                raise ValueError(f"its entry “{field.name}” has a value that no run writes")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"its entry “{field.name}” is missing")
    return Manifest(**{field.name: entries[field.name] for field in fields(Manifest) if field.name in entries})


def hash_of_entries(entries: Mapping[str, Any]) -> str:
    """SHA-256 over the entries of a manifest, whatever their order."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
