"""Work that goes on while the page is drawn, and after it."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A computation in a thread of its own, which must make no Streamlit call.

    Args:
        work: Is started at once.
    """

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._result: Result | None = None
        self._error: Exception | None = None
        self._started = time.monotonic()
        # A daemon: whoever stops the server does not want to wait for it.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return not self._thread.is_alive()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def wait(self, seconds: float) -> None:
        """Until it has ended, at most so long."""
        self._thread.join(seconds)

    def result(self) -> Result:
        """What came out, waited for; raises what the work raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def _run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error
