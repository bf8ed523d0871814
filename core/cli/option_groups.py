"""Groups of options: several commands share them, and each takes a group as one value."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any


class OptionGroup:
    """Options that belong together; a command takes them as one parameter, a dataclass of this kind."""

    @classmethod
    def parameters(cls) -> list[inspect.Parameter]:
        """The options as parameters of a command."""
        return [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in fields(cls)  # type: ignore[arg-type] # every group is a dataclass
        ]


def with_plain_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its groups of options unfolded, as Typer wants them; a group's default gives theirs."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[OptionGroup], list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        group = parameter.annotation
        if isinstance(group, type) and issubclass(group, OptionGroup):
            options = group.parameters()
            if parameter.default is not parameter.empty:
                options = [option.replace(default=getattr(parameter.default, option.name)) for option in options]
            groups[parameter.name] = group, [option.name for option in options]
            parameters += options
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def plain(**values: Any) -> None:
        for name, (group, options) in groups.items():
            values[name] = group(**{option: values.pop(option) for option in options})
        command(**values)

    plain.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    plain.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return plain
