"""Work that can be stopped before each run of a network, however deep in the library that is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_check: ContextVar[Callable[[], object] | None] = ContextVar("check", default=None)


@contextmanager
def interruptible(check: Callable[[], object]) -> Iterator[None]:
    """Call `check` in this thread before each run of a network; what it raises stops the work."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def stop_if_interrupted() -> None:
    """Raise what `interruptible` was given to raise."""
    check = _check.get()
    if check is not None:
        check()
