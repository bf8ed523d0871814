"""Settings of what a registry holds as options: one option per setting."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from ..attribution.registry import METHODS, all_settings, method_named
from ..attribution.settings import Setting
from ..errors import UserError
from .option_groups import OptionGroup
from .options import chosen_names

_MOST_OWNERS = 3
"""Largest number of owners that the help of a setting names; the text of one shared by more says whose it is."""


class SettingOptions(OptionGroup):
    """The settings that were given.

    Attributes:
        values: Values by the name of the setting; the path of a file where a setting may be an image.
    """

    def __init__(self, **texts: str | bool | None) -> None:
        known = {own.name: own for settings in self.owners().values() for own in settings}
        self.values = {name: _value(known[name], text) for name, text in texts.items() if text is not None}

    @classmethod
    def owners(cls) -> Mapping[str, Sequence[Setting]]:
        """The settings of each method or metric, by its name."""
        raise NotImplementedError

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """One optional parameter per setting."""
        owners = cls.owners()
        known = {own.name: own for settings in owners.values() for own in settings}
        return [
            _parameter(own, [name for name in owners if own in owners[name]], len(owners)) for own in known.values()
        ]


class MethodOptions(SettingOptions):
    """The settings of attribution methods.

    Attributes:
        hidden: Names of settings that are not offered.
    """

    hidden: ClassVar[tuple[str, ...]] = ("seed",)  # the seed draws images too, see `ImageRun`

    @classmethod
    def methods(cls) -> tuple[str, ...]:
        """Names of the methods whose settings are offered."""
        return tuple(METHODS)

    @classmethod
    def owners(cls) -> Mapping[str, Sequence[Setting]]:
        """The settings of each method."""
        return {name: [own for own in METHODS[name].settings if own.name not in cls.hidden] for name in cls.methods()}

    def check(self, methods: Sequence[str], also: Collection[str] = ()) -> None:
        """Raise a UserError where a setting was given that none of the methods has, or that contradicts another.

        Args:
            methods: Names of the methods that run.
            also: Names of settings that were given with other options.
        """
        for name in (*self.values, *also):
            if name not in all_settings(methods):
                option = all_settings()[name].option
                owners = [method for method in METHODS if name in all_settings([method])]
                have, them = ("has", "that method") if len(owners) == 1 else ("have", "one of them")
                raise UserError(f"Only {', '.join(owners)} {have} --{option}; leave it out, or choose {them}.")
        if self.values.get("n_steps") == "auto" and "rule" in self.values:
            raise UserError("Automatic steps choose their places themselves; leave out --rule.")
        if self.values.get("n_steps") != "auto" and {"tolerance", "max_steps"} & set(self.values):
            raise UserError("Only automatic steps have a tolerance and a budget; add --steps auto.")


def chosen_methods(text: str, among: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names of the methods that a list with commas gives by name or alias, each once; `among` all by default.

    Raises:
        UserError: As `chosen_names`.
    """
    known = [name for one in among or METHODS for name in (one, *METHODS[one].aliases)]
    return tuple(dict.fromkeys(method_named(name).name for name in chosen_names("method", text, known)))


def _parameter(own: Setting, owners: Sequence[str], total: int) -> inspect.Parameter:
    whose = f" For {', '.join(owners)}." if len(owners) < min(total, _MOST_OWNERS + 1) else ""
    default = "" if own.default is None else f" [default: {own.default}]"
    is_flag = own.annotation is bool
    option = typer.Option(
        f"--{own.option}/--no-{own.option}" if is_flag else f"--{own.option}",
        help=f"{own.help or own.label}{whose}{default}",
        metavar=None if is_flag else f"<{own.metavar}>",
    )
    annotation: Any = Annotated[bool | None, option] if is_flag else Annotated[str | None, option]
    return inspect.Parameter(own.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _value(own: Setting, text: str | bool) -> Any:
    if isinstance(text, bool):
        return text
    if not own.takes_image or text in own.values:
        return own.parse(text)
    if not Path(text).is_file():
        known = ", ".join(own.values)
        raise UserError(f'The option --{own.option} is {known} or an image file; there is no file "{text}".')
    return Path(text).absolute()
