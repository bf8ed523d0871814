"""Settings of attribution methods as options: one option per setting in the registry."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from ..attribution.registry import METHODS, all_settings
from ..attribution.settings import Setting
from ..errors import UserError
from .option_groups import OptionGroup

_MOST_OWNERS = 3
"""How many methods the help of a setting names; one of more methods says itself whose it is."""


class MethodOptions(OptionGroup):
    """The settings that were given.

    Attributes:
        values: Values by the name of the setting; the path of a file where a setting may be an image.
        only: Names of the methods whose settings are offered; empty offers those of all.
        hidden: Names of settings that are not offered.
    """

    only: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **texts: str | bool | None) -> None:
        known = all_settings()
        self.values = {name: _value(known[name], text) for name, text in texts.items() if text is not None}

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """One optional parameter per setting."""
        methods = cls.only or tuple(METHODS)
        return [_parameter(own, methods) for name, own in all_settings(methods).items() if name not in cls.hidden]

    def check(self, methods: Sequence[str]) -> None:
        """Raise a UserError where a setting was given that none of the methods has, or that contradicts another."""
        for name in self.values:
            if name not in all_settings(methods):
                owners, option = ", ".join(_owners(name, tuple(METHODS))), all_settings()[name].option
                raise UserError(f"Only {owners} has --{option}; leave it out, or choose that method.")
        if self.values.get("n_steps") == "auto" and "rule" in self.values:
            raise UserError("Automatic steps choose their places themselves; leave out --rule.")
        if self.values.get("n_steps") != "auto" and {"tolerance", "max_steps"} & set(self.values):
            raise UserError("Only automatic steps have a tolerance and a budget; add --steps auto.")


def _owners(setting: str, methods: tuple[str, ...]) -> list[str]:
    return [name for name in methods if setting in all_settings([name])]


def _parameter(own: Setting, methods: tuple[str, ...]) -> inspect.Parameter:
    owners = _owners(own.name, methods)
    whose = f" For {', '.join(owners)}." if len(owners) < min(len(methods), _MOST_OWNERS + 1) else ""
    default = "" if own.default is None else f" [default: {own.default}]"
    is_flag = own.annotation is bool
    option = typer.Option(
        f"--{own.option}/--no-{own.option}" if is_flag else f"--{own.option}",
        help=f"{own.help or own.label}{whose}{default}",
        metavar=None if is_flag else f"<{own.metavar}>",
    )
    annotation = Annotated[bool | None, option] if is_flag else Annotated[str | None, option]
    return inspect.Parameter(own.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _value(own: Setting, text: str | bool) -> Any:
    if isinstance(text, bool):
        return text
    if not own.takes_image or text in own.words:
        return own.parse(text)
    if not Path(text).is_file():
        raise UserError(
            f'The option --{own.option} is {", ".join(own.words)} or an image file; there is no file "{text}".'
        )
    return Path(text).absolute()
