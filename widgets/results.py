"""Results shared by all sessions, bounded, computed once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import streamlit as st

Result = TypeVar("Result")

MAX_RESULTS = 128


class ResultStore:
    """The last results by key, the least recently used dropped first. Safe to share between threads.

    Unlike a cached function it lets the computation draw its progress, and be stopped by a rerun.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._results: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def get_or_compute(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result stored under `key`, computed where it is not there."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]  # type: ignore[return-value]
        result = compute()
        with self._lock:
            self._results[key] = result
            while len(self._results) > self._max_entries:
                self._results.popitem(last=False)
        return result


@st.cache_resource
def results() -> ResultStore:
    """The one store of this server."""
    return ResultStore(MAX_RESULTS)
