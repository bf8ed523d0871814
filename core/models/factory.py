"""A network from the user's own code: "package.module:function" or "path/to/file.py:function"."""

import contextvars
import importlib
import inspect
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FunctionType, MappingProxyType, MethodType, ModuleType

import torch
from torch import nn

from ..errors import UserError
from ..segmenter import Segmenter
from .user_files import import_file, without_root

TIME_LIMIT = 300.0
"""Seconds that importing the user's module and calling the function may take together."""
TIME_LIMIT_VARIABLE = "WHYPIXEL_FACTORY_SECONDS"
"""The environment variable that sets another limit."""
_CHECK_SECONDS = 0.1
"""Seconds between two checks, so that Ctrl+C works where waiting for a thread cannot be interrupted (Windows)."""

_OWN_NAME = __name__.partition(".")[0]
_FORMS = "package.module:function or path/to/file.py:function"
_PATTERN = re.compile(r"([A-Za-z_]\w*(\.[A-Za-z_]\w*)*|.+\.py):[A-Za-z_]\w*")


def is_factory(name: str) -> bool:
    """Whether a name has the form of a factory, "package.module:function" or "path/to/file.py:function"."""
    return _PATTERN.fullmatch(name) is not None


def segmenter_from_factory(factory: str, device: str | torch.device = "auto") -> Segmenter:
    """The segmenter that a function of the user returns, which is called without arguments.

    Args:
        factory: As for `made_by_factory`.
        device: Where to put it: "auto", "cpu" or "cuda". A `Segmenter` stays on the device that it was made for; any
            other module is taken to have three channels, no normalisation and any number of classes.

    Raises:
        UserError: As `made_by_factory`.
    """
    made = made_by_factory(factory)
    return made if isinstance(made, Segmenter) else Segmenter(made, device=device, name=factory)


def made_by_factory(
    factory: str,
    arguments: Mapping[str, object] = MappingProxyType({}),
    known: Mapping[str, object] = MappingProxyType({}),
) -> Segmenter | nn.Module:
    """What a function of the user returns.

    This runs the user's code: use it on a command line, never behind an upload. It runs in a thread of its own, for
    `TIME_LIMIT` seconds at most, or as many as the environment variable `WHYPIXEL_FACTORY_SECONDS` states.

    Args:
        factory: "package.module:function", a module in the current directory or an installed one; or
            "path/to/file.py:function", whose imports are looked for beside the file first (see `import_file`). The
            function returns a `Segmenter` or a torch module.
        arguments: Keyword arguments of the function.
        known: Further ones, which it is given where it takes them.

    Raises:
        UserError: No such module or file, no such function, one that is not written in Python or does not take the
            arguments, an error or an end of the process inside it, another return type, or a function that is not
            finished in time.
    """
    if not is_factory(factory):
        raise UserError(f"{factory} is not the name of a function; give it as {_FORMS}.")
    seconds = _time_limit()
    outcome = _run_in_thread(partial(_made_by, factory, arguments, known), seconds)
    if not outcome.done():
        raise UserError(
            f"{factory} was not finished after {seconds:g} seconds; make it faster, or allow more with the environment "
            f"variable {TIME_LIMIT_VARIABLE}."
        )
    made = outcome.result()
    if isinstance(made, Segmenter | nn.Module):
        return made
    if made is None:
        raise UserError(f"{factory} returned nothing; return the network from it.")
    raise UserError(f"{factory} returned a {type(made).__name__}; a factory returns a Segmenter or a torch.nn.Module.")


def _time_limit() -> float:
    text = os.environ.get(TIME_LIMIT_VARIABLE, "")
    try:
        seconds = float(text or TIME_LIMIT)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UserError(f'{TIME_LIMIT_VARIABLE} is "{text}"; set it to a positive number of seconds.')
    return seconds


def _run_in_thread(function: Callable[[], object], seconds: float) -> "Future[object]":
    """What a function returns or raises; not done if that takes longer, then it goes on until the process ends.

    It has the caller's context variables and PyTorch state (gradient and inference mode, default device), so that it
    does what it would have done in the caller's thread.
    """
    outcome: Future[object] = Future()
    context = contextvars.copy_context()
    gradients, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    device = torch.get_default_device()
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
    return outcome


def _made_by(factory: str, arguments: Mapping[str, object], known: Mapping[str, object]) -> object:
    """What the function returns; any error but an interruption from the keyboard becomes a UserError."""
    source, _, function_name = factory.rpartition(":")
    is_file = source.endswith(".py")
    try:
        if is_file and not (path := Path(source).expanduser().absolute()).is_file():
            raise UserError(f"There is no file {source}; give path/to/file.py:function.")
        module = import_file(path) if is_file else _imported(source)
        function = getattr(module, function_name, None)
        if not callable(function):
            kind = "file" if is_file else "module"
            raise UserError(f"The {kind} {source} has no function {function_name}; give {_FORMS}.")
        if not _is_written_in_python(function):
            raise UserError(
                f"{factory} is not written in Python but compiled; give your own function that returns the network."
            )
        return function(**_taken(function, factory, arguments, known))
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit as well, which would end this program in silence
        raise _failed(factory, error) from error


def _taken(
    function: Callable[..., object], factory: str, arguments: Mapping[str, object], known: Mapping[str, object]
) -> dict[str, object]:
    """The arguments, with those of the `known` that the function takes."""
    if not arguments and not known:
        return {}
    parameters = inspect.signature(function).parameters.values()
    named = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    takes_all = any(each.kind == each.VAR_KEYWORD for each in parameters)
    if not takes_all and (odd := sorted(arguments.keys() - named)):
        raise UserError(f"{factory} takes no argument {odd[0]}; it takes {', '.join(sorted(named)) or 'none'}.")
    return {name: value for name, value in known.items() if takes_all or name in named} | dict(arguments)


def _imported(module_name: str) -> ModuleType:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            file = f"{module_name.replace('.', '/')}.py"
            own = f"; {_OWN_NAME} is WhyPixel's own package here, so name the file, {file}:function, instead"
            own = own if module_name.startswith(f"{_OWN_NAME}.") else ""
            raise UserError(
                f"There is no module {error.name} in {here} or among the installed packages{own}."
            ) from error
        raise


def _is_written_in_python(function: object) -> bool:
    """Whether calling it runs Python code: not so for `sys.exit`, `os.abort` or `time.sleep`, which make no network."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    if isinstance(function, FunctionType | MethodType):
        return True
    if isinstance(function, type):
        makers = (type(function).__call__, function.__new__, function.__init__)  # type: ignore[misc]
        return any(isinstance(maker, FunctionType) for maker in makers)
    return isinstance(getattr(type(function), "__call__", None), FunctionType)  # noqa: B004 - which one, not whether


def _failed(factory: str, error: BaseException) -> UserError:
    reason = without_root(" ".join(str(error).split()).rstrip("."))
    if isinstance(error, SystemExit):
        return UserError(
            f"{factory} ended the process (SystemExit: {reason or 'no reason given'}) instead of returning a network; "
            "remove the exit from its module."
        )
    advice = "fix the function"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(f"{_OWN_NAME}."):
        advice = (
            f"{_OWN_NAME} is WhyPixel's own package here; install WhyPixel (pip install . in its folder) and run "
            f"`whypixel` instead of `python -m {_OWN_NAME}`"
        )
    return UserError(f"{factory} failed with {type(error).__name__}: {reason or 'no reason given'}; {advice}.")
