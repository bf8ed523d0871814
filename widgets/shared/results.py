"""Results shared by all sessions, bounded in memory, computed once."""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np
import streamlit as st

Result = TypeVar("Result")

MAX_RESULTS = 256
MAX_BYTES = 512 * 2**20


class ResultStore:
    """The last results by key, the least recently used dropped first. Safe to share between threads.

    Unlike a cached function it lets the computation draw its progress, and be stopped by a rerun.
    """

    def __init__(self, max_entries: int, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._results: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._results

    def get_or_compute(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result stored under `key`, computed where it is not there."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key][0]  # type: ignore[return-value]
        result = compute()
        with self._lock:
            self._results[key] = result, array_bytes(result)
            while len(self._results) > 1 and self._is_full():
                self._results.popitem(last=False)
        return result

    def _is_full(self) -> bool:
        held = sum(size for _, size in self._results.values())
        return len(self._results) > self._max_entries or held > self._max_bytes


def array_bytes(result: object) -> int:
    """Memory of the arrays in a result: an array, a dataclass, or a tuple, list or mapping of them.

    An array that stands in several places, as a target's mask does in all maps of an atlas, counts once.
    """
    return sum({id(array): array.nbytes for array in _arrays(result)}.values())


def _arrays(result: object) -> list[np.ndarray]:
    if isinstance(result, np.ndarray):
        return [result]
    parts: list[object] = list(result) if isinstance(result, tuple | list) else []
    if dataclasses.is_dataclass(result):
        parts = [getattr(result, entry.name) for entry in dataclasses.fields(result)]
    elif isinstance(result, Mapping):
        parts = list(result.values())
    return [array for part in parts for array in _arrays(part)]


@st.cache_resource
def results() -> ResultStore:
    """The one store of this server."""
    return ResultStore(MAX_RESULTS)
