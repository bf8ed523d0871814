"""Running somebody else's code for a limited time."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

_CHECK_SECONDS = 0.1
"""Between two looks, so that Ctrl+C is heard where waiting for a thread cannot be interrupted (Windows)."""


class TimeLimitError(Exception):
    """The time was over before the function was finished."""


@dataclass
class _Outcome:
    result: Any = None
    error: BaseException | None = None


def run_with_time_limit(function: Callable[[], Any], seconds: float) -> Any:
    """What a function returns, if it does so in time.

    It runs in a thread of its own with the caller's context variables and PyTorch state (gradient and inference mode,
    default device), so that it does what it would have done in the caller's thread. Whatever it raises is raised here,
    the same object, `SystemExit` and `KeyboardInterrupt` too. A function that is not finished in time goes on in the
    background until the process ends: a thread cannot be stopped from outside.

    Raises:
        TimeLimitError: It is not finished.
    """
    outcome = _Outcome()
    context = contextvars.copy_context()
    state = _TorchState.of_this_thread()

    def run() -> None:
        try:
            with state.restored():
                outcome.result = context.run(function)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            outcome.error = error

    thread = threading.Thread(target=run, daemon=True, name="time-limited")
    thread.start()
    _wait_for(thread, seconds)
    if thread.is_alive():
        raise TimeLimitError
    if outcome.error is not None:
        raise outcome.error
    return outcome.result


def _wait_for(thread: threading.Thread, seconds: float) -> None:
    while thread.is_alive() and seconds > 0:
        thread.join(min(seconds, _CHECK_SECONDS))
        seconds -= _CHECK_SECONDS


@dataclass(frozen=True)
class _TorchState:
    """PyTorch's settings that each thread has for itself."""

    gradients: bool
    inference: bool
    device: torch.device
    gpu: int | None

    @classmethod
    def of_this_thread(cls) -> "_TorchState":
        gpu = torch.cuda.current_device() if torch.cuda.is_initialized() else None
        return cls(torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_device(), gpu)

    @contextmanager
    def restored(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(self.inference))
            stack.enter_context(torch.set_grad_enabled(self.gradients))
            if self.gpu is not None:
                stack.enter_context(torch.cuda.device(self.gpu))
            if self.device.type != "cpu":
                stack.enter_context(self.device)
            yield
