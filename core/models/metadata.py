"""The metadata of a checkpoint, checked by type and range before anything is built from it."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from .ranges import MOST_CHANNELS, MOST_CLASSES, InvalidValueError, check_whole_number, shortened

_MOST_CHARACTERS = 2**24
"""Most of the metadata. Training writes the names of all its images there: 100,000 of them are 4 MB."""
_LONGEST_NAME = 100
_LONGEST_TEXT = 200
_MOST_ENTRIES = 100
_LARGEST_ARGUMENT = 100_000
_DEEPEST_ARGUMENT = 4
_DEEPEST_RECORD = 32
_LARGEST_NORMALISATION = 1e12
_MOST_SCORES = 10_000


@dataclass(frozen=True)
class CheckpointInfo:
    """The metadata of a checkpoint.

    Attributes:
        architecture: Name in `ARCHITECTURES`.
        arguments: Keyword arguments of the architecture.
        class_names: One name per class; empty where not known.
        in_channels: Channels of the image.
        mean: Mean of the normalisation, one number or one per channel, for images in [0, 1].
        std: Standard deviation of the normalisation, one number or one per channel.
        training: Training data and settings; free form.
        scores: Measured scores by name; free form.
    """

    architecture: str
    arguments: dict[str, Any]
    class_names: tuple[str, ...] = ()
    in_channels: int = 1
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)


def parse_metadata(text: str) -> CheckpointInfo:
    """The info in the metadata of a checkpoint, one JSON object; unknown entries are ignored.

    Raises:
        InvalidValueError: Text that is no such object, or an entry of the wrong type or out of its range.
    """
    given = _known_entries(text)
    for name, (holds, kind) in _KINDS.items():
        if name in given and not holds(given[name]):
            raise InvalidValueError(f"{name} is not {kind}.")
    if not all(_is_showable(inner) for inner, _ in _nested(given.get("scores"))):
        raise InvalidValueError(
            f"scores holds a text that cannot be printed or is longer than {_LONGEST_TEXT} characters."
        )
    check_arguments(given["arguments"])
    check_class_names(given.get("class_names", ()))
    info = CheckpointInfo(
        **given | {name: tuple(given[name]) for name in {"class_names", "mean", "std"} & given.keys()}
    )
    check_whole_number("in_channels", info.in_channels, 1, MOST_CHANNELS)
    if info.in_channels != info.arguments.get("in_channels", info.in_channels):
        raise InvalidValueError("the channels of the image are not those of the architecture.")
    for name, values in (("mean", info.mean), ("std", info.std)):
        if len(values) not in (1, info.in_channels):
            raise InvalidValueError(
                f"{name} has {len(values)} numbers; it has one, or one for each of {info.in_channels} channels."
            )
    return info


def _known_entries(text: str) -> dict[str, Any]:
    if len(text) > _MOST_CHARACTERS:
        raise InvalidValueError(f"it has {len(text)} characters and {_MOST_CHARACTERS} are the most that is read.")
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InvalidValueError(f"it is not JSON ({error}).") from error
    except RecursionError as error:
        raise InvalidValueError("it is nested too deeply.") from error
    if not isinstance(entries, dict):
        raise InvalidValueError("it is not a JSON object.")
    for name in ("architecture", "arguments"):
        if name not in entries:
            raise InvalidValueError(f"{name} is missing.")
    return {known.name: entries[known.name] for known in fields(CheckpointInfo) if known.name in entries}


def check_arguments(arguments: object) -> None:
    """Refuse arguments of an architecture that are not plain values of a plausible size.

    Plain are short texts, true and false, None, finite numbers (whole ones up to 100,000) and short lists and objects
    of these.

    Raises:
        InvalidValueError: With the name of the argument.
    """
    if not isinstance(arguments, Mapping):
        raise InvalidValueError("arguments is not an object of named values.")
    if len(arguments) > _MOST_ENTRIES:
        raise InvalidValueError(f"there are {len(arguments)} arguments and {_MOST_ENTRIES} are the most that is read.")
    for name, value in arguments.items():
        if not isinstance(name, str) or not name.isidentifier() or len(name) > _LONGEST_NAME:
            raise InvalidValueError(f"{shortened(repr(name), _LONGEST_NAME)} cannot be the name of an argument.")
        if (problem := _problem_of_argument(value)) is not None:
            raise InvalidValueError(f"the argument {name} {problem}.")
    for name, most in (("in_channels", MOST_CHANNELS), ("num_classes", MOST_CLASSES)):
        if name in arguments:
            check_whole_number(f"the argument {name}", arguments[name], 1, most)


def check_class_names(names: object) -> None:
    """Refuse class names that are no texts, empty, too long or given twice, with an `InvalidValueError`."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidValueError("class_names is not a list of names.")
    if len(names) > MOST_CLASSES:
        raise InvalidValueError(f"there are {len(names)} class names and {MOST_CLASSES} are the most that is read.")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise InvalidValueError(f"the class name {shortened(repr(name), _LONGEST_NAME)} is not a text.")
        if not name.strip():
            raise InvalidValueError("a class name is empty.")
        if not _is_short_text(name):
            raise InvalidValueError(
                f"the class name {shortened(repr(name), _LONGEST_NAME)} is longer than {_LONGEST_TEXT} characters or "
                "cannot be printed."
            )
        if name.strip() in seen:
            raise InvalidValueError(f'the class name "{name}" stands there twice; give each class its own.')
        seen.add(name.strip())


def is_plain_record(value: object) -> bool:
    """Whether a value beside the weights is a number, or a text short enough to be shown on a line."""
    if isinstance(value, str):
        return _is_short_text(value)
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63)


def _are_numbers(values: object, least: float) -> bool:
    return (
        isinstance(values, list)
        and 0 < len(values) <= MOST_CHANNELS
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and all(least <= value <= _LARGEST_NORMALISATION for value in values)
    )


def _problem_of_argument(value: object, deepest: int = _DEEPEST_ARGUMENT) -> str | None:
    """What is wrong with an argument's value, as the end of a sentence; None where nothing is."""
    if not isinstance(value, list | tuple | Mapping):
        return _problem_of_single_argument(value)
    if deepest == 1:
        return f"is nested more than {_DEEPEST_ARGUMENT - 1} levels deep"
    if len(value) > _MOST_ENTRIES:
        return f"has {len(value)} entries; {_MOST_ENTRIES} are the most that is read"
    entries = [*value, *value.values()] if isinstance(value, Mapping) else value
    problems = (_problem_of_argument(entry, deepest - 1) for entry in entries)
    return next((f"has an entry that {problem}" for problem in problems if problem is not None), None)


def _problem_of_single_argument(value: object) -> str | None:
    if isinstance(value, str):
        return None if _is_short_text(value) else f"is not a text of at most {_LONGEST_TEXT} printable characters"
    if isinstance(value, int | np.integer):
        return None if abs(int(value)) <= _LARGEST_ARGUMENT else f"is a number beyond ±{_LARGEST_ARGUMENT}"
    if isinstance(value, float | np.floating):
        return None if math.isfinite(value) else "is not a finite number"
    return (
        None if value is None else f"is a {type(value).__name__}, not a number, a text, or a list or an object of these"
    )


def _is_short_text(text: str) -> bool:
    return len(text) <= _LONGEST_TEXT and text.isprintable()


def _nested(value: object, level: int = 1) -> Iterator[tuple[object, int]]:
    """A JSON value and all that it contains, each with its level."""
    yield value, level
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nested(inner, level + 1)


def _is_record(value: object) -> bool:
    return isinstance(value, dict) and all(level <= _DEEPEST_RECORD for _, level in _nested(value))


def _is_showable(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_short_text, value))
    return isinstance(value, list) or value is None or is_plain_record(value)


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "architecture": (
        lambda name: isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable(),
        f"a name of at most {_LONGEST_NAME} characters",
    ),
    "mean": (partial(_are_numbers, least=-_LARGEST_NORMALISATION), "a list of finite numbers"),
    # Single precision turns smaller numbers into 0 and larger ones into infinity.
    "std": (partial(_are_numbers, least=1 / _LARGEST_NORMALISATION), "a list of positive finite numbers"),
    "training": (_is_record, f"a JSON object of at most {_DEEPEST_RECORD} levels"),
    "scores": (
        lambda value: _is_record(value) and sum(1 for _ in _nested(value)) <= _MOST_SCORES,
        f"a JSON object of at most {_DEEPEST_RECORD} levels and {_MOST_SCORES} entries",
    ),
}
"""Check of an entry of the metadata, and a description of what it must be."""
