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

from core.segmenter.interruption import interruptible

Result = TypeVar("Result")

MAX_BYTES = 512 * 2**20
_MIN_BYTES = MAX_BYTES // 256
"""Size that a result counts with at least, so that small ones are bounded in number."""
_WORKERS = 8
GRACE = 10.0
"""Seconds for which work pauses when the last tab that wants it is gone: a page that is reloaded comes back for it."""
_SECONDS_BETWEEN_LOOKS = 0.05
_STEPS_TO_ESTIMATE, _SECONDS_TO_ESTIMATE = 2, 1.5
"""Steps and seconds from which on the pace of work tells the time left: at first a page is drawn beside it."""


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
        steps: Number of steps in all, `AtMost` where it is a bound, `About` where it is estimated.
        has_begun: Whether it runs; before, it waits for others to end.
        part: What the work has shown of its result so far.
        claims: The requests that were not cancelled.
        size: Size of the result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps_done, self.steps, self.has_begun = 0, 1, False
        self.part: Any = None
        self.claims: list[Claim] = []
        self.size = 0
        self._requested = time.monotonic()
        self._first: tuple[float, int] | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the first request."""
        return time.monotonic() - self._requested

    @property
    def seconds_left(self) -> float:
        """Estimate from the pace since the first step was done; infinite until that has told something."""
        if self._first is None or self.steps_done < self._first[1] + _STEPS_TO_ESTIMATE:
            return float("inf")
        since, before = self._first
        seconds = time.monotonic() - since
        if seconds < _SECONDS_TO_ESTIMATE:
            return float("inf")
        return seconds / (self.steps_done - before) * max(0, self.steps - self.steps_done)

    def count(self, done: int, total: int) -> None:
        """See `Report`."""
        self.steps_done, self.steps = done, total
        if self._first is None and done:
            self._first = time.monotonic(), done


class Report:
    """Progress of a computation, see `Progress`; calling it raises `Cancelled` once nobody wants the result."""

    def __init__(self, computation: Computation, ensure_wanted: Callable[[], None]) -> None:
        self._computation = computation
        self.ensure_wanted = ensure_wanted

    def __call__(self, done: int, total: int) -> None:
        """Note the number of steps done, and in all."""
        self.ensure_wanted()
        self._computation.count(done, total)

    def show(self, part: object) -> None:
        """Let those who wait see what there is of the result already."""
        self._computation.part = part


def _always() -> bool:
    return True


@dataclasses.dataclass(eq=False)
class Claim(Generic[Result]):
    """One request for the result under `key`, whose computation others may have requested too.

    Attributes:
        key: Key of the result.
        computation: Its computation.
        label: What is counted, in words; empty for work that is not shown.
        is_open: Whether the browser tab that requested it is open.
        is_cancelled: Whether `cancel` was called.
    """

    key: Hashable
    computation: Computation[Result]
    _changed: threading.Condition
    label: str = ""
    is_open: Callable[[], bool] = _always
    is_cancelled: bool = False
    _closed_since: float | None = None

    def seconds_closed(self) -> float:
        """Seconds since the tab was first seen closed; below 0 while it is open."""
        if self.is_open():
            self._closed_since = None
            return -1.0
        now = time.monotonic()
        self._closed_since = now if self._closed_since is None else self._closed_since
        return now - self._closed_since

    def cancel(self) -> None:
        """Stop the computation before its next step, unless another request still wants it."""
        with self._changed:
            self.is_cancelled = True
            if self in self.computation.claims:
                self.computation.claims.remove(self)
                self._changed.notify_all()

    @property
    def is_under_way(self) -> bool:
        """Whether there will be a result."""
        return not self.is_cancelled and not self.computation.done()

    @property
    def is_lost(self) -> bool:
        """Whether the work was stopped because the tab was gone for a while."""
        return not self.is_cancelled and self.computation.done() and isinstance(self.computation.exception(), Cancelled)


class ResultStore:
    """The last results by key, the least recently used dropped first. Safe to share between threads.

    A key is computed once however many request it at the same time. What failed or was cancelled is not kept.

    Args:
        max_size: Bound of the sum of all sizes; a single larger result is kept alone.
        size_of: Size of a result, by default the bytes of its arrays.
        max_workers: Most computations at a time in the background.
        grace: See `GRACE`.
    """

    def __init__(
        self,
        max_size: int = MAX_BYTES,
        size_of: Callable[[Any], int] | None = None,
        max_workers: int = _WORKERS,
        grace: float = GRACE,
    ) -> None:
        self._size_of = size_of or (lambda result: max(array_bytes(result), _MIN_BYTES))
        self._kept: LRUCache = LRUCache(max_size, lambda computation: min(computation.size, max_size))
        self._under_way: dict[Hashable, Computation] = {}
        self._changed = threading.Condition()
        self._executor = DaemonExecutor(max_workers)
        self._grace = grace

    def __contains__(self, key: Hashable) -> bool:
        with self._changed:
            return key in self._kept

    def get(self, key: Hashable) -> Any:
        """The result under `key` if it is kept, else None."""
        with self._changed:
            computation = self._kept.get(key)
        return None if computation is None else computation.result()

    def is_under_way(self, key: Hashable) -> bool:
        """Whether the result is computed for somebody."""
        with self._changed:
            computation = self._under_way.get(key)
            return computation is not None and bool(computation.claims)

    def discard(self, key: Hashable) -> None:
        """Keep a result no longer."""
        with self._changed:
            self._kept.pop(key, None)

    def get_or_compute(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """The result under `key`, computed here where it is neither kept nor under way.

        `compute` may draw on the page, and a rerun may stop it: then another session that waits computes it itself.
        """
        while True:
            claim, is_new = self._claim(key)
            if is_new:
                self._compute(claim, compute)
            try:
                return claim.computation.result()
            except Exception:
                raise
            except BaseException:
                if is_new:
                    raise
            finally:
                claim.cancel()

    def start(
        self,
        key: Hashable,
        compute: Callable[[Report], Result],
        label: str = "",
        is_open: Callable[[], bool] = _always,
    ) -> Claim[Result]:
        """Request the result under `key`; it is computed in the background where it is neither kept nor under way.

        Args:
            key: Key of the result.
            compute: Computes it. It stops, by an exception, before each run of a network and at each report if
                nobody wants the result.
            label: See `Claim`.
            is_open: See `Claim`.
        """
        claim, is_new = self._claim(key, label, is_open)

        report = Report(claim.computation, lambda: self._ensure_wanted(claim))

        def run() -> Result:
            report.ensure_wanted()
            claim.computation.has_begun = True
            with interruptible(report.ensure_wanted):
                return compute(report)

        if is_new:
            self._executor.submit(self._compute, claim, run)
        return claim

    def _claim(self, key: Hashable, label: str = "", is_open: Callable[[], bool] = _always) -> tuple[Claim, bool]:
        with self._changed:
            computation = self._under_way.get(key) or self._kept.get(key)
            is_new = computation is None
            if computation is None:
                computation = self._under_way[key] = Computation()
            claim: Claim = Claim(key, computation, self._changed, label, is_open)
            if not computation.done():
                computation.claims.append(claim)
                self._changed.notify_all()
            return claim, is_new

    def _ensure_wanted(self, claim: Claim) -> None:
        """Wait while all tabs that want the result are closed, and give up when none has come back in time."""
        claims = claim.computation.claims
        with self._changed:
            while True:
                closed = {one: one.seconds_closed() for one in claims}
                claims[:] = [one for one, seconds in closed.items() if seconds < self._grace]
                if min(closed.values(), default=0.0) < 0:
                    return
                if not claims:
                    self._forget(claim)  # later requests start again
                    raise Cancelled
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)

    def _compute(self, claim: Claim[Result], compute: Callable[[], Result]) -> None:
        computation = claim.computation
        try:
            result = compute()
            computation.size = self._size_of(result)  # here, so that a failure settles the future like any other
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is read
            with self._changed:
                self._forget(claim)
                computation.claims.clear()
                computation.set_exception(error)
        else:
            with self._changed:
                self._forget(claim)
                computation.claims.clear()
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
