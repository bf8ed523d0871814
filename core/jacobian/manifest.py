"""The manifest of a store, and the checks of its entries."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..target import PREDICTED, SPACES
from .encoding import STORED_TYPES
from .request import JacobianRequest
from .row_summaries import NUM_BINS

SCHEMA = 2

Check = Callable[[Any], bool]

_IDENTITY = {
    "weights_hash": "model",
    "image_hash": "image",
    "class_index": "class",
    "space": "score space",
    "against": "class subtracted",
    "stride": "stride",
    "region_hash": "region",
    "dtype": "number type",
    "keep_rows": "choice between rows and summaries only",
}
_LARGEST = 2**63 - 1
_MOST_CHANNELS = 2**16
_LONGEST_TEXT = 10_000
_MOST_VERSIONS = 100
_MOST_NOTES = 100
_MOST_STATISTICS = 2**20
_HIGHEST_EDGE = 2047
"""The largest float32, NaN included, as the bits that count the edges of histograms."""
_SHA_256 = re.compile("[0-9a-f]{64}")
_OPTIONAL = {"notes", "against", "statistics"}
"""Entries that stores of early versions of this schema lack."""


@dataclass(frozen=True, kw_only=True)
class Manifest(JacobianRequest):
    """The request that a store answers, for which network and image, and how the store is laid out.

    Attributes:
        model: The network's name.
        weights_hash: `Segmenter.weights_hash`.
        image_hash: SHA-256 over the image's values.
        region_hash: SHA-256 over the region; empty for the whole image.
        channels: Channels of the image.
        dense: Whether every pixel reaches every other by the network's design.
        note: A sentence for the user about the path taken; may be empty.
        batch_size: Passes run at once.
        passes_per_block: Passes in a block.
        lowest_bin: Lowest bin of the histograms, see `Histogram`.
        versions: Versions of the libraries that made it.
        schema: Version of this layout.
        notes: What was assumed or concluded about the network, one sentence each.
        statistics: Number of statistics over the image that couple the rows, see `Coupling`; 0 where none are used.
    """

    model: str
    weights_hash: str
    image_hash: str
    region_hash: str
    channels: int
    dense: bool
    note: str
    batch_size: int
    passes_per_block: int
    lowest_bin: int
    versions: dict[str, str]
    schema: int = SCHEMA
    notes: tuple[str, ...] = ()
    statistics: int = 0

    @property
    def identity(self) -> dict[str, object]:
        """The entries that distinguish this Jacobian from any other."""
        return {key: getattr(self, key) for key in _IDENTITY}

    def difference(self, identity: Mapping[str, object]) -> str:
        """The names of what differs from another Jacobian's identity, for the user; empty if nothing does."""
        return ", ".join(_IDENTITY[key] for key, value in self.identity.items() if value != identity[key])


def is_integer(lowest: int, highest: int = _LARGEST) -> Check:
    """Whether a value is a whole number in a range; True and 1.0 are none."""
    return lambda value: type(value) is int and lowest <= value <= highest


def _is_text(value: object) -> bool:
    """Whether a value is a text that can be shown: not endless, and without the halves of broken characters."""
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and not re.search("[\ud800-\udfff]", value)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _SHA_256.fullmatch(value) is not None


def _are_versions(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= _MOST_VERSIONS and all(map(_is_text, (*value, *value.values())))


def _are_sentences(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) <= _MOST_NOTES and all(map(_is_text, value))


CHECKS: Mapping[str, Check] = {
    "model": _is_text,
    "weights_hash": _is_hash,
    "image_hash": _is_hash,
    "class_index": is_integer(PREDICTED),
    "against": lambda value: value is None or is_integer(0)(value),
    "space": SPACES.__contains__,
    "stride": is_integer(1),
    "region_hash": lambda value: value == "" or _is_hash(value),
    "dtype": STORED_TYPES.__contains__,
    "keep_rows": lambda value: isinstance(value, bool),
    "channels": is_integer(1, _MOST_CHANNELS),
    "dense": lambda value: isinstance(value, bool),
    "note": _is_text,
    "batch_size": is_integer(1),
    "passes_per_block": is_integer(1),
    "lowest_bin": is_integer(1, _HIGHEST_EDGE + 3 * 8 - NUM_BINS),
    "versions": _are_versions,
    "schema": is_integer(SCHEMA, SCHEMA),
    "notes": _are_sentences,
    "statistics": is_integer(0, _MOST_STATISTICS),
}
"""For each entry of the manifest, whether a value is one that a run can have written."""


def checked_manifest(entries: Mapping[str, Any]) -> Manifest:
    """The manifest of its entries as they were read; entries that it does not know are left out.

    Raises:
        ValueError: An entry is missing, or has a value that no run writes.
    """
    for field in fields(Manifest):
        if field.name not in entries and field.name not in _OPTIONAL:
            raise ValueError(f"its entry “{field.name}” is missing")
        if field.name in entries and not CHECKS[field.name](entries[field.name]):
            raise ValueError(f"its entry “{field.name}” has a value that no run writes")
    return Manifest(**{field.name: entries[field.name] for field in fields(Manifest) if field.name in entries})


def hash_of_entries(entries: Mapping[str, Any]) -> str:
    """SHA-256 over the entries of a manifest, whatever their order."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
