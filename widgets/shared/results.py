"""Results shared by all sessions: bounded in memory, each computed once, in the background where it takes long."""

import dataclasses
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import numpy as np
import streamlit as st
from cachetools import LRUCache

from core.compute.progress import Progress

Result = TypeVar("Result")

MAX_BYTES = 512 * 2**20
_MIN_BYTES = MAX_BYTES // 256
"""Size that a result counts with at least, so that small ones are bounded in number."""
_WORKERS = 8


class Cancelled(BaseException):
    """No request for the result is left. Not an `Exception`, so that no handler of errors swallows it."""


class DaemonExecutor(Executor):
    """Runs calls in daemon threads, at most `max_workers` at a time; the others wait in the order of submission.

    `ThreadPoolExecutor` joins its threads when Python ends, so stopping the server would take as long as its longest
    computation. The threads are kept: in a new one torch needs ten milliseconds more for its first gradient.
    """

    def __init__(self, max_workers: int) -> None:
        self._max_workers = max_workers
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._num_threads = 0

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Schedule `fn(*args, **kwargs)`, which must make no Streamlit call."""
        future: Future[Result] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001 - it is raised where the result is read
                    future.set_exception(error)

        self._calls.put(run)
        with self._lock:
            if not self._idle.acquire(blocking=False) and self._num_threads < self._max_workers:
                self._num_threads += 1
                threading.Thread(target=self._work, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            _computing.add(threading.get_ident())
            call()
            _computing.discard(threading.get_ident())
            del call  # until the next one it would hold a result, and the network that computed it
            self._idle.release()


_computing: set[int] = set()


def is_computing() -> bool:
    """Whether any executor runs a call."""
    return bool(_computing)


class Computation(Future[Result]):
    """The future of a result, shared by all who requested its key.

    Attributes:
        steps_done: Number of steps done.
        steps: Number of steps in all.
        num_claims: Number of requests that were not cancelled.
        size: Size of the result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps_done, self.steps, self.num_claims = 0, 1, 0
        self._started = time.monotonic()
        self.size = 0

    @property
    def seconds(self) -> float:
        """Seconds since the first request."""
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        """Estimate from the pace so far; infinite before the first step."""
        return self.seconds / self.steps_done * (self.steps - self.steps_done) if self.steps_done else float("inf")


@dataclasses.dataclass(eq=False)
class Claim(Generic[Result]):
    """One request for the result under `key`, whose computation others may have requested too."""

    key: Hashable
    computation: Computation[Result]
    _lock: threading.Lock
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Stop the computation at its next report of progress, unless another request still wants it."""
        with self._lock:
            self.computation.num_claims -= not self.is_cancelled
            self.is_cancelled = True


class ResultStore:
    """The last results by key, the least recently used dropped first. Safe to share between threads.

    A key is computed once however many request it at the same time. What failed or was cancelled is not kept.

    Args:
        max_size: Bound of the sum of all sizes; a single larger result is kept alone.
        size_of: Size of a result, by default the bytes of its arrays.
    """

    def __init__(self, max_size: int = MAX_BYTES, size_of: Callable[[Any], int] | None = None) -> None:
        self._size_of = size_of or (lambda result: max(array_bytes(result), _MIN_BYTES))
        self._kept: LRUCache = LRUCache(max_size, lambda computation: min(computation.size, max_size))
        self._under_way: dict[Hashable, Computation] = {}
        self._lock = threading.Lock()
        self._executor = DaemonExecutor(_WORKERS)

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._kept

    def get(self, key: Hashable) -> Any:
        """The result under `key` if it is kept, else None."""
        with self._lock:
            computation = self._kept.get(key)
        return None if computation is None else computation.result()

    def get_or_compute(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result under `key`, computed here where it is neither kept nor under way.

        `compute` may draw on the page, and a rerun may stop it: then another session that waits computes it itself.
        """
        while True:
            claim, is_new = self._claim(key)
            if is_new:
                self._compute(claim, lambda _progress: compute())
            try:
                return claim.computation.result()
            except Exception:
                raise
            except BaseException:
                if is_new:
                    raise
            finally:
                claim.cancel()

    def start(self, key: Hashable, compute: Callable[[Progress], Result]) -> Claim[Result]:
        """Request the result under `key`; it is computed in the background where it is neither kept nor under way."""
        claim, is_new = self._claim(key)
        if is_new:
            self._executor.submit(self._compute, claim, compute)
        return claim

    def _claim(self, key: Hashable) -> tuple[Claim, bool]:
        with self._lock:
            computation = self._under_way.get(key) or self._kept.get(key)
            is_new = computation is None
            if computation is None:
                computation = self._under_way[key] = Computation()
            computation.num_claims += 1
            return Claim(key, computation, self._lock), is_new

    def _compute(self, claim: Claim[Result], compute: Callable[[Progress], Result]) -> None:
        computation = claim.computation

        def report(done: int, total: int) -> None:
            with self._lock:
                if not computation.num_claims:
                    self._forget(claim)  # later requests start again
                    raise Cancelled
            computation.steps_done, computation.steps = done, total

        try:
            report(0, 1)
            result = compute(report)
            computation.size = self._size_of(result)  # here, so that a failure settles the future like any other
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is read
            with self._lock:
                self._forget(claim)
                computation.set_exception(error)
        else:
            with self._lock:
                self._forget(claim)
                computation.set_result(result)
                self._kept[claim.key] = computation

    def _forget(self, claim: Claim) -> None:
        if self._under_way.get(claim.key) is claim.computation:
            del self._under_way[claim.key]


def array_bytes(result: object) -> int:
    """Memory of the arrays in a result: an array, a dataclass, or a tuple, list or mapping of them.

    An array that occurs several times, as a target's mask does in all maps of an atlas, counts once.
    """
    return sum({id(array): array.nbytes for array in _arrays(result)}.values())


def _arrays(result: object) -> list[np.ndarray]:
    if isinstance(result, np.ndarray):
        return [result]
    parts = result if isinstance(result, tuple | list) else ()
    if dataclasses.is_dataclass(result):
        parts = [getattr(result, entry.name) for entry in dataclasses.fields(result)]
    elif isinstance(result, Mapping):
        parts = list(result.values())
    return [array for part in parts for array in _arrays(part)]


@st.cache_resource
def results() -> ResultStore:
    """The one store of this server."""
    return ResultStore()
