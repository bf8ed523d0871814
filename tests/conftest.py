import atexit
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

import core.cli

# What is cached or uploaded stays out of the user's folders, also for the processes that tests start.
for variable in ("WHYPIXEL_CACHE", "WHYPIXEL_FILES"):
    os.environ[variable] = tempfile.mkdtemp(prefix="whypixel-tests-")
    atexit.register(shutil.rmtree, os.environ[variable], ignore_errors=True)

settings.register_profile("project", deadline=None)  # a machine may be busy; no test is about its speed
settings.load_profile("project")


def pytest_unconfigure() -> None:
    """Pages compute in the background, where Python's own end would abort torch."""
    results = sys.modules.get("widgets.shared.results")
    deadline = time.monotonic() + 120
    while results is not None and results.is_computing() and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def _main_module() -> Iterator[None]:
    """Streamlit's AppTest leaves its script as `__main__`, which every process that is spawned later would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose more to handing work to threads than they win, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line: exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["core", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            core.cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two Dask workers, each a process that takes seconds to import what it needs: one cluster for all tests."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, or one process would be left alone with it in the end."""
    items.sort(key=lambda item: (item.get_closest_marker("browser") is None, "notebook" not in item.nodeid))


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed once, was run again: {report.nodeid}")
        terminalreporter.line(report.longreprtext)
        for title, text in report.sections:
            terminalreporter.line(f"{title}:\n{text}")
