"""Running somebody else's code for a limited time."""

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import Any

import torch

_CHECK_SECONDS = 0.1
"""Between two looks, so that Ctrl+C is heard where waiting for a thread cannot be interrupted (Windows)."""


class TimeLimitError(Exception):
    """The time was over before the function was finished."""


def run_with_time_limit(function: Callable[[], Any], seconds: float) -> Any:
    """What a function returns, if it does so in time.

    It runs in a thread of its own with the caller's context variables and PyTorch state (gradient and inference mode,
    default device), so that it does what it would have done in the caller's thread. Whatever it raises is raised here,
    the same object, `SystemExit` and `KeyboardInterrupt` too. A function that is not finished in time goes on in the
    background until the process ends: a thread cannot be stopped from outside.

    Raises:
        TimeLimitError: It is not finished.
    """
    outcome: Future[Any] = Future()
    context = contextvars.copy_context()
    gradients, inference, device = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_device(),
    )
    gpu = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def run() -> None:
        try:
            with ExitStack() as stack:
                stack.enter_context(torch.inference_mode(inference))
                stack.enter_context(torch.set_grad_enabled(gradients))
                if gpu is not None:
                    stack.enter_context(torch.cuda.device(gpu))
                if device.type != "cpu":
                    stack.enter_context(device)
                outcome.set_result(context.run(function))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True, name="time-limited").start()
    end = time.monotonic() + seconds
    while not outcome.done() and (left := end - time.monotonic()) > 0:
        wait([outcome], min(left, _CHECK_SECONDS))
    if not outcome.done():
        raise TimeLimitError
    return outcome.result()
