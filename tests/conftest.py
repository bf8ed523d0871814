import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None)  # a machine may be busy; no test is about its speed
settings.load_profile("project")


@pytest.fixture(autouse=True)
def _main_module() -> Iterator[None]:
    """Streamlit's AppTest leaves its script as `__main__`, which every process that is spawned later would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Two Dask workers, each a process that takes seconds to import what it needs: one cluster for all tests."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, or one process would be left alone with it in the end."""
    items.sort(key=lambda item: (item.get_closest_marker("browser") is None, "notebook" not in item.nodeid))
