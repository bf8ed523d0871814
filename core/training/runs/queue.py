"""One training run at a time per user and machine; the others wait in the order of their start.

The waiting processes agree among themselves, so no server is needed. A ticket is a file that names a run's folder; one
whose run is no longer live counts for nothing. The lock is the operating system's: it ends with the process.
"""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ...io.cache import cache_folder
from ...io.files import write_atomically

_SECONDS = 0.2
"""Between two looks at the queue."""


def take_ticket(run_folder: Path) -> None:
    """Put a run at the end of the queue."""
    for former in _tickets():
        if former.name.endswith(run_folder.name):
            former.unlink(missing_ok=True)
    write_atomically(_folder() / f"{time.time_ns():020d}-{run_folder.name}", str(run_folder).encode())


@contextmanager
def turn(run_folder: Path, is_live: Callable[[Path], bool], check: Callable[[], None]) -> Iterator[None]:
    """Wait until no run that started earlier is live; the next one waits until this ends.

    Args:
        run_folder: The run that waits.
        is_live: Whether the process of the run in a folder waits or runs.
        check: Called while waiting; what it raises ends the wait.
    """
    _folder().mkdir(parents=True, exist_ok=True)
    lock = FileLock(_folder() / "lock")
    while not _is_first(run_folder, is_live) or not _taken(lock):
        check()
        time.sleep(_SECONDS)
    with lock:
        yield


def _taken(lock: FileLock) -> bool:
    with suppress(Timeout):
        lock.acquire(blocking=False)
        return True
    return False


def _folder() -> Path:
    return cache_folder() / "training" / platform.node()


def _tickets() -> list[Path]:
    return sorted(_folder().glob("[0-9]*-*"))


def _is_first(run_folder: Path, is_live: Callable[[Path], bool]) -> bool:
    for ticket in _tickets():
        if ticket.name.endswith(run_folder.name):
            return True
        with suppress(FileNotFoundError):
            if is_live(Path(ticket.read_text(encoding="utf-8"))):
                return False
            ticket.unlink()
    return True
