"""The store of results: bounded, and one computation per key however many sessions ask for it."""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.segmenter import Prediction, Segmenter
from widgets.shared import results
from widgets.shared.results import Cancelled, Computation, DaemonExecutor, Report, ResultStore, array_bytes

SECONDS = 30
"""For what never takes as long: only a fault does."""


def clock_of(monkeypatch: pytest.MonkeyPatch, monotonic: Callable[[], float]) -> None:
    """Let the results alone go by this clock: threads of other tests, like those of a cluster, keep the real one."""
    monkeypatch.setattr(results, "time", SimpleNamespace(monotonic=monotonic))


def test_bytes_of_nested_results():
    array, other = np.zeros((3, 4), np.float32), np.zeros((3, 4), np.float32)
    assert array_bytes(array) == 48
    assert array_bytes({"a": (array, [other]), "b": "text"}) == 96
    assert array_bytes(Prediction(array, other)) == 96
    assert array_bytes({"a": (array, [array]), "b": array}) == 48


def test_the_least_recently_used_goes_first():
    store = ResultStore(2, lambda _: 1)
    for key in ("a", "b"):
        store.get_or_compute(key, lambda key=key: key)
    store.get_or_compute("a", lambda: "computed again")
    store.get_or_compute("c", lambda: "c")
    assert store.get_or_compute("a", lambda: "computed again") == "a"
    assert store.get_or_compute("b", lambda: "computed again") == "computed again"


def test_memory_is_bounded():
    store = ResultStore(1000, array_bytes)
    for key in range(5):
        store.get_or_compute(key, lambda: np.zeros(50))
    assert store.get_or_compute(4, lambda: None) is not None
    assert store.get_or_compute(0, lambda: None) is None


def test_one_result_larger_than_the_bound_is_kept():
    store = ResultStore(10, array_bytes)
    store.get_or_compute("large", lambda: np.zeros(50))
    assert store.get_or_compute("large", lambda: None) is not None


def test_results_without_arrays_are_bounded_in_number():
    store = ResultStore()
    for key in range(257):
        store.get_or_compute(key, lambda: "text")
    assert 0 not in store
    assert 1 in store


class Work:
    """Work that waits in each step until the test lets it go on."""

    def __init__(self, result: object = "result") -> None:
        self.count = 0
        self.started, self.go_on, self.stopped = (threading.Event() for _ in range(3))
        self._result = result

    def __call__(self, progress: Callable[[int, int], object] = lambda done, total: None) -> object:
        self.count += 1
        self.started.set()
        assert self.go_on.wait(SECONDS)
        try:
            progress(1, 2)
        except BaseException:
            self.stopped.set()
            raise
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def test_a_thread_that_waits_holds_nothing_of_its_last_call():
    class Network:
        pass

    network, is_gone = Network(), threading.Event()
    weakref.finalize(network, is_gone.set)
    executor = DaemonExecutor(1)
    executor.submit(lambda held: None, network).result(SECONDS)
    del network
    assert is_gone.wait(SECONDS)


def test_two_sessions_that_ask_at_once_compute_once():
    store, work = ResultStore(), Work()
    claims = [store.start("key", work) for _ in range(2)]
    assert work.started.wait(SECONDS)
    with ThreadPoolExecutor(1) as pool:
        third: Future = pool.submit(store.get_or_compute, "key", work)
        assert "key" not in store
        work.go_on.set()
        found = [claim.computation.result(SECONDS) for claim in claims]
        assert [*found, third.result(SECONDS)] == ["result"] * 3
    assert work.count == 1
    assert "key" in store
    assert store.start("key", work).computation.result() == "result"
    assert work.count == 1


def test_two_threads_that_compute_on_the_spot_compute_once():
    store, work = ResultStore(), Work()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.get_or_compute, "key", work)
        assert work.started.wait(SECONDS)
        second = pool.submit(store.get_or_compute, "key", work)
        assert not second.done()
        work.go_on.set()
        assert first.result(SECONDS) == second.result(SECONDS) == "result"
    assert work.count == 1


def test_progress_is_shared():
    store, work = ResultStore(), Work()
    claims = [store.start("key", work) for _ in range(2)]
    work.go_on.set()
    claims[0].computation.result(SECONDS)
    assert [(claim.computation.steps_done, claim.computation.steps) for claim in claims] == [(1, 2)] * 2


def test_a_failure_is_not_kept_and_reaches_all_who_asked():
    store, work = ResultStore(), Work(ValueError("no"))
    claims = [store.start("key", work) for _ in range(2)]
    work.go_on.set()
    for claim in claims:
        with pytest.raises(ValueError, match="no"):
            claim.computation.result()
    assert "key" not in store
    assert store.get_or_compute("key", lambda: "now") == "now"


def test_a_size_that_cannot_be_measured_reaches_all_who_asked():
    def size_of(result: object) -> int:
        if result == "bad":
            raise TypeError("no size")
        return 1

    store, work = ResultStore(size_of=size_of), Work("bad")
    claims = [store.start("key", work) for _ in range(2)]
    work.go_on.set()
    for claim in claims:
        with pytest.raises(TypeError, match="no size"):
            claim.computation.result(SECONDS)
    with pytest.raises(TypeError, match="no size"):
        store.get_or_compute("key", lambda: "bad")
    assert "key" not in store
    assert store.get_or_compute("key", lambda: "now") == "now"


def test_one_session_that_cancels_leaves_the_work_to_the_other():
    store, work = ResultStore(), Work()
    first, second = store.start("key", work), store.start("key", work)
    assert work.started.wait(SECONDS)
    second.cancel()
    second.cancel()  # counts once
    work.go_on.set()
    assert first.computation.result() == "result"
    assert second.is_cancelled
    assert not first.is_cancelled
    assert not work.stopped.is_set()


def test_work_that_nobody_wants_stops_and_is_not_kept():
    store, work = ResultStore(), Work()
    claims = [store.start("key", work) for _ in range(2)]
    assert work.started.wait(SECONDS)
    for claim in claims:
        claim.cancel()
    work.go_on.set()
    assert work.stopped.wait(SECONDS)
    with pytest.raises(Cancelled):
        claims[0].computation.result()
    assert "key" not in store
    assert store.start("key", lambda _: "again").computation.result() == "again"


def test_who_asks_before_cancelled_work_has_stopped_keeps_it_going():
    store, work = ResultStore(), Work()
    first = store.start("key", work)
    assert work.started.wait(SECONDS)
    first.cancel()
    second = store.start("key", work)
    work.go_on.set()
    assert second.computation.result() == "result"
    assert work.count == 1


def test_who_waits_computes_it_when_a_rerun_stops_the_one_that_did():
    store, started, stop = ResultStore(), threading.Event(), threading.Event()

    class Rerun(BaseException):
        pass

    def stopped() -> object:
        started.set()
        assert stop.wait(SECONDS)
        raise Rerun

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.get_or_compute, "key", stopped)
        assert started.wait(SECONDS)
        second = pool.submit(store.get_or_compute, "key", lambda: "mine")
        stop.set()
        assert isinstance(first.exception(SECONDS), Rerun)
        assert second.result(SECONDS) == "mine"


def test_the_executor_runs_so_many_at_once_and_waiting_ones_can_be_cancelled():
    executor, works = DaemonExecutor(1), [Work(), Work()]
    futures = [executor.submit(work) for work in works]
    assert works[0].started.wait(SECONDS)
    assert futures[0].running()
    assert not futures[1].running()
    assert futures[1].cancel()
    works[0].go_on.set()
    assert futures[0].result(SECONDS) == "result"
    assert executor.submit(lambda: threading.current_thread().daemon).result(SECONDS)
    assert works[1].count == 0


class Tab:
    """A browser tab that can be closed, and tells that somebody has looked whether it is open."""

    def __init__(self, *, is_open: bool = True) -> None:
        self._is_open, self.was_seen_closed = is_open, threading.Event()

    def close(self) -> None:
        self._is_open = False

    def open(self) -> None:
        self._is_open = True

    def __call__(self) -> bool:
        if not self._is_open:
            self.was_seen_closed.set()
        return self._is_open


def test_work_of_a_closed_tab_stops_and_can_be_requested_again():
    store, work, tab = ResultStore(grace=0), Work(), Tab()
    claim = store.start("key", work, is_open=tab)
    assert work.started.wait(SECONDS)
    tab.close()
    work.go_on.set()
    assert work.stopped.wait(SECONDS)
    with pytest.raises(Cancelled):
        claim.computation.result(SECONDS)
    assert claim.is_lost
    assert not claim.is_cancelled, "the user has cancelled nothing"
    assert store.start("key", lambda _: "again").computation.result(SECONDS) == "again"


@pytest.mark.parametrize("comes_back", ["the same tab, connected again", "a reloaded page, which asks again"])
def test_work_of_a_closed_tab_pauses_and_goes_on_for_who_comes_back(comes_back):
    store, work, tab = ResultStore(grace=SECONDS), Work(), Tab()
    first = store.start("key", work, is_open=tab)
    assert work.started.wait(SECONDS)
    tab.close()
    work.go_on.set()
    assert tab.was_seen_closed.wait(SECONDS)
    assert not first.computation.done(), "it waits instead of going on"
    if comes_back.startswith("the same"):
        tab.open()
    else:
        second = store.start("key", work)
        assert second.computation is first.computation
    assert first.computation.result(SECONDS) == "result"
    assert work.count == 1


def test_a_cancel_ends_the_wait_for_a_closed_tab():
    store, work, tab = ResultStore(grace=float("inf")), Work(), Tab()
    claim = store.start("key", work, is_open=tab)
    assert work.started.wait(SECONDS)
    tab.close()
    work.go_on.set()
    assert tab.was_seen_closed.wait(SECONDS)
    claim.cancel()
    with pytest.raises(Cancelled):
        claim.computation.result(SECONDS)


def test_of_two_tabs_one_that_is_open_keeps_the_work_going():
    store, work, closed = ResultStore(grace=0), Work(), Tab(is_open=False)
    claims = [store.start("key", work, is_open=is_open) for is_open in (Tab(), closed)]
    work.go_on.set()
    assert [claim.computation.result(SECONDS) for claim in claims] == ["result"] * 2


def test_a_tab_counts_as_gone_from_when_it_was_first_seen_closed(monkeypatch):
    """So that after a reload, the page's own Cancel does not wait for the tab that it was before."""
    tab, now = Tab(), [100.0]
    clock_of(monkeypatch, lambda: now[0])
    claim = ResultStore().start("key", lambda _: "result", is_open=tab)
    assert claim.seconds_closed() < 0
    tab.close()
    assert claim.seconds_closed() == 0
    now[0] = 104.0
    assert claim.seconds_closed() == 4
    tab.open()
    assert claim.seconds_closed() < 0
    tab.close()
    assert claim.seconds_closed() == 0


def test_work_that_waits_for_its_turn_in_a_closed_tab_is_not_begun():
    store, first, second, tab = ResultStore(max_workers=1, grace=0), Work(), Work(), Tab()
    store.start("first", first)
    assert first.started.wait(SECONDS)
    waiting = store.start("second", second, is_open=tab)
    assert not waiting.computation.has_begun
    tab.close()
    first.go_on.set()
    with pytest.raises(Cancelled):
        waiting.computation.result(SECONDS)
    assert second.count == 0


def test_work_without_reports_stops_before_the_next_run_of_a_network():
    segmenter = Segmenter(torch.nn.Conv2d(1, 2, 1), in_channels=1)
    image, runs, started, go_on = np.zeros((1, 8, 8), np.float32), [], threading.Event(), threading.Event()

    def work(_: object) -> None:
        while True:
            segmenter.predict(image)
            runs.append(1)
            started.set()
            assert go_on.wait(SECONDS)

    store = ResultStore()
    claim = store.start("key", work)
    assert started.wait(SECONDS)
    claim.cancel()
    go_on.set()
    with pytest.raises(Cancelled):
        claim.computation.result(SECONDS)
    assert len(runs) == 1
    segmenter.predict(image)  # others are not stopped


def test_what_the_work_has_shown_is_there_for_all_who_asked():
    store, shown, go_on = ResultStore(), threading.Event(), threading.Event()

    def work(report: Report) -> str:
        report.show("half")
        shown.set()
        assert go_on.wait(SECONDS)
        return "whole"

    claims = [store.start("key", work) for _ in range(2)]
    assert shown.wait(SECONDS)
    assert store.is_under_way("key")
    assert [claim.computation.part for claim in claims] == ["half"] * 2
    go_on.set()
    assert claims[0].computation.result(SECONDS) == "whole"
    assert not store.is_under_way("key")


def test_a_result_that_was_discarded_is_computed_again():
    store = ResultStore()
    assert store.get_or_compute("key", lambda: "old") == "old"
    store.discard("key")
    assert store.get_or_compute("key", lambda: "new") == "new"


def test_the_time_left_goes_by_the_pace_since_the_first_step(monkeypatch):
    clock = iter([100.0, 160.0, 161.0, 166.0])  # requested, first step after a minute of preparation, too early, now
    clock_of(monkeypatch, clock.__next__)
    work: Computation = Computation()
    work.count(0, 10)
    work.count(4, 10)
    assert work.seconds_left == float("inf")
    work.count(7, 10)
    assert work.seconds_left == float("inf")
    assert work.seconds_left == pytest.approx(6)
