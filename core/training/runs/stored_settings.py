"""Settings of a training run as JSON values, and back to equal settings."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...errors import UserError
from ..settings import TrainingSettings

_PATH, _TUPLE = "__path__", "__tuple__"


def stored(settings: TrainingSettings) -> dict[str, Any]:
    """The settings as JSON values that `restored` reads.

    Raises:
        UserError: A setting that JSON cannot hold, such as a function among the arguments.
    """
    return {entry.name: _encoded(entry.name, getattr(settings, entry.name)) for entry in fields(settings)}


def restored(values: Mapping[str, Any]) -> TrainingSettings:
    """The settings that `stored` was given.

    Raises:
        UserError: Settings that this version does not know, or that it refuses.
    """
    if unknown := sorted(values.keys() - {entry.name for entry in fields(TrainingSettings)}):
        raise UserError(f"The run was set up by another version, which knows {', '.join(unknown)}; start a new run.")
    return TrainingSettings(**{name: _decoded(value) for name, value in values.items()})


def _encoded(name: str, value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return {_PATH: str(value)}
    if isinstance(value, tuple):
        return {_TUPLE: [_encoded(name, part) for part in value]}
    if isinstance(value, list):
        return [_encoded(name, part) for part in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _encoded(name, part) for key, part in value.items()}
    raise UserError(f"The setting {name} holds {value!r}, which cannot be stored; use plain numbers and texts.")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_PATH}:
        return Path(value[_PATH])
    if value.keys() == {_TUPLE}:
        return tuple(_decoded(value[_TUPLE]))
    return {key: _decoded(part) for key, part in value.items()}
