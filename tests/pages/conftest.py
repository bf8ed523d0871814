import pytest

from widgets.shared import slow_work


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """AppTest does not run a page again when a computation has ended, so the first run waits for it."""
    monkeypatch.setattr(slow_work, "PATIENCE", 120)
