"""Settings of attribution methods as options: one option per setting in the registry."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..attribution.registry import METHODS, all_settings
from ..attribution.settings import Setting
from ..errors import UserError
from ..segmenter import Segmenter
from .option_groups import OptionGroup
from .options import Reading


class SettingOptions(OptionGroup):
    """The settings that were given, of everything in a registry.

    Attributes:
        values: Values by the name of the setting; the path of a file where a setting may be an image.
    """

    def __init__(self, **texts: str | bool | None) -> None:
        known = {own.name: own for settings in self.owners().values() for own in settings}
        self.values = {name: _value(known[name], text) for name, text in texts.items() if text is not None}

    @classmethod
    def owners(cls) -> Mapping[str, Sequence[Setting]]:
        """The settings of each that has some, by its name."""
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
    """The settings that were given, of all methods or of those that a subclass names."""

    @classmethod
    def methods(cls) -> Sequence[str]:
        """Names of the methods whose settings are offered."""
        return list(METHODS)

    @classmethod
    def owners(cls) -> Mapping[str, Sequence[Setting]]:
        """The settings of each method."""
        return {name: METHODS[name].settings for name in cls.methods()}

    def check(self, methods: Sequence[str]) -> None:
        """Raise a UserError where a setting was given that none of the methods has, or that contradicts another."""
        known = all_settings(methods)
        for name in self.values:
            if name not in known:
                owners = ", ".join(_owners(name, self.methods()))
                raise UserError(
                    f"Only {owners} has --{all_settings()[name].option}; leave it out, or choose that method."
                )
        if "n_steps" not in known:
            return
        if self.values.get("n_steps") != "auto" and {"tolerance", "max_steps"} & set(self.values):
            raise UserError("Only automatic steps have a tolerance and a budget; add --steps auto.")
        if self.values.get("n_steps") == "auto" and "rule" in self.values:
            raise UserError("Automatic steps choose their places themselves; leave out --rule.")


def with_images(values: Mapping[str, Any], segmenter: Segmenter, reading: Reading) -> dict[str, Any]:
    """The values with images instead of the paths of files."""
    return {
        name: reading.image(segmenter, value) if isinstance(value, Path) else value for name, value in values.items()
    }


def _owners(setting: str, methods: Sequence[str]) -> list[str]:
    return [name for name in methods if setting in all_settings([name])]


def _parameter(own: Setting, owners: Sequence[str], total: int) -> inspect.Parameter:
    of = "" if len(owners) == total else f" For {', '.join(owners)}."
    default = "" if own.default is None else f" [default: {own.default}]"
    flag = f"--{own.option}/--no-{own.option}" if own.annotation is bool else f"--{own.option}"
    option = typer.Option(flag, help=f"{own.help or own.label}{of}{default}")
    annotation: Any = bool if own.annotation is bool else str
    return inspect.Parameter(
        own.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation | None, option]
    )


def _value(own: Setting, text: str | bool) -> Any:
    if isinstance(text, bool):
        return text
    if own.takes_image and text not in own.choices:
        path = Path(text)
        if not path.is_file():
            known = ", ".join(own.choices)
            raise UserError(f'The option --{own.option} is {known} or an image file; there is no file "{text}".')
        return path.absolute()
    return own.parse(text)
