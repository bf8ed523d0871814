"""A network from the user's own code: "package.module:function"."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from core.errors import UserError
from core.segmenter import Segmenter

_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_factory(name: str) -> bool:
    """Whether a name has the form of a factory, "package.module:function"."""
    return _PATTERN.fullmatch(name) is not None


def segmenter_from_factory(factory: str, device: str | torch.device = "auto") -> Segmenter:
    """The segmenter that a function of the user's returns; modules are looked for in the current directory, too.

    This runs the user's code: it belongs on a command line, never behind an upload.

    Args:
        factory: "package.module:function". The function takes no arguments and returns a `Segmenter`, or a torch module
            (three channels, no normalisation, any number of classes).
        device: Where to put it: "auto", "cpu" or "cuda". A `Segmenter` stays on the device that it was made for.

    Raises:
        UserError: No such module, no such function, an error inside it, or another return type.
    """
    if not is_factory(factory):
        raise UserError(f"{factory} is not the name of a function; give it as package.module:function.")
    module_name, _, function_name = factory.partition(":")
    function = getattr(_imported(module_name, factory), function_name, None)
    if not callable(function):
        raise UserError(f"The module {module_name} has no function {function_name}; give package.module:function.")
    try:
        made = function()
    except UserError:
        raise
    except Exception as error:
        raise _failed(factory, error) from error
    if isinstance(made, Segmenter):
        return made
    if isinstance(made, nn.Module):
        return Segmenter(made, device=device, name=factory)
    raise UserError(
        f"{factory} returned a {type(made).__name__}; a factory returns a core.Segmenter or a torch.nn.Module."
    )


def _imported(module_name: str, factory: str) -> ModuleType:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(f"There is no module {error.name} in {here} or among the installed packages.") from error
        raise _failed(factory, error) from error
    except Exception as error:
        raise _failed(factory, error) from error


def _failed(factory: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split()).rstrip(".")
    return UserError(f"{factory} failed with {type(error).__name__}: {reason or 'no reason given'}; mend the function.")
