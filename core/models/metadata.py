"""What a checkpoint says beside its weights, checked by type and range before anything is built from it."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from .ranges import MOST_CHANNELS, MOST_CLASSES, check_whole_number, shortened

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


class MetadataError(ValueError):
    """What is wrong with the metadata, as the end of a sentence."""


@dataclass(frozen=True)
class CheckpointInfo:
    """All that a checkpoint says beside its weights.

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
        MetadataError: Saying what is wrong with it.
    """
    if len(text) > _MOST_CHARACTERS:
        raise MetadataError(f"it has {len(text)} characters and {_MOST_CHARACTERS} are the most that is read.")
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise MetadataError(f"it is not JSON ({error}).") from error
    except RecursionError as error:
        raise MetadataError("it is nested too deeply.") from error
    if not isinstance(entries, dict):
        raise MetadataError("it is not a JSON object.")
    missing = next((name for name in ("architecture", "arguments") if name not in entries), None)
    if missing is not None:
        raise MetadataError(f"{missing} is missing.")
    known = {entry.name for entry in fields(CheckpointInfo)}
    given = {name: value for name, value in entries.items() if name in known}
    for name, value in given.items():
        _CHECKS[name](value)
    for name in {"class_names", "mean", "std"} & given.keys():
        given[name] = tuple(given[name])
    return _consistent(CheckpointInfo(**given))


def check_arguments(arguments: object) -> None:
    """Refuse arguments of an architecture that are not plain values of a plausible size.

    Plain are short texts, true and false, None, finite numbers (whole ones up to 100,000) and short lists and objects
    of these.

    Raises:
        MetadataError: Saying which argument is not.
    """
    if not isinstance(arguments, Mapping):
        raise MetadataError("arguments is not an object of named values.")
    if len(arguments) > _MOST_ENTRIES:
        raise MetadataError(f"there are {len(arguments)} arguments and {_MOST_ENTRIES} are the most that is read.")
    for name, value in arguments.items():
        if not isinstance(name, str) or not name.isidentifier() or len(name) > _LONGEST_NAME:
            raise MetadataError(f"{shortened(repr(name), _LONGEST_NAME)} cannot be the name of an argument.")
        if (problem := _problem_of_argument(value)) is not None:
            raise MetadataError(f"the argument {name} {problem}.")
    if "in_channels" in arguments:
        check_whole_number("the argument in_channels", arguments["in_channels"], 1, MOST_CHANNELS)
    if "num_classes" in arguments:
        check_whole_number("the argument num_classes", arguments["num_classes"], 1, MOST_CLASSES)


def check_class_names(names: object) -> None:
    """Refuse class names that are no texts, empty, too long or given twice.

    Raises:
        MetadataError: Saying which name is wrong.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise MetadataError("class_names is not a list of names.")
    if len(names) > MOST_CLASSES:
        raise MetadataError(f"there are {len(names)} class names and {MOST_CLASSES} are the most that is read.")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise MetadataError(f"the class name {shortened(repr(name), _LONGEST_NAME)} is not a text.")
        if not name.strip():
            raise MetadataError("a class name is empty.")
        if not _is_short_text(name):
            raise MetadataError(
                f"the class name {shortened(repr(name), _LONGEST_NAME)} is longer than {_LONGEST_TEXT} characters or "
                "cannot be printed."
            )
        if name.strip() in seen:
            raise MetadataError(f'the class name "{name}" stands there twice; give each class its own.')
        seen.add(name.strip())


def is_plain_record(value: object) -> bool:
    """Whether a value beside the weights is a number, or a text short enough to be shown on a line."""
    if isinstance(value, str):
        return _is_short_text(value)
    return isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63)


def _consistent(info: CheckpointInfo) -> CheckpointInfo:
    if info.in_channels != info.arguments.get("in_channels", info.in_channels):
        raise MetadataError("the channels of the image are not those of the architecture.")
    for name, values in (("mean", info.mean), ("std", info.std)):
        if len(values) not in (1, info.in_channels):
            raise MetadataError(
                f"{name} has {len(values)} numbers; it has one, or one for each of {info.in_channels} channels."
            )
    return info


def _check_architecture(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise MetadataError(f"architecture is not a name of at most {_LONGEST_NAME} characters.")


def _check_file_class_names(names: object) -> None:
    if not isinstance(names, list):
        raise MetadataError("class_names is not a list of names.")
    check_class_names(names)


def _check_in_channels(value: object) -> None:
    check_whole_number("in_channels", value, 1, MOST_CHANNELS)


def _check_mean(values: object) -> None:
    if not _are_numbers(values, -_LARGEST_NORMALISATION):
        raise MetadataError("mean is not a list of finite numbers.")


def _check_std(values: object) -> None:
    if not _are_numbers(values, 1 / _LARGEST_NORMALISATION):  # single precision makes less zero and more infinite
        raise MetadataError("std is not a list of positive finite numbers.")


def _are_numbers(values: object, least: float) -> bool:
    return (
        isinstance(values, list)
        and 0 < len(values) <= MOST_CHANNELS
        and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        and all(least <= value <= _LARGEST_NORMALISATION for value in values)
    )


def _check_training(value: object) -> None:
    if not isinstance(value, dict) or not _is_shallow(value):
        raise MetadataError(f"training is not a JSON object of at most {_DEEPEST_RECORD} levels.")


def _check_scores(value: object) -> None:
    if not isinstance(value, dict) or not _is_shallow(value) or sum(1 for _ in _nested(value)) > _MOST_SCORES:
        raise MetadataError(
            f"scores is not a JSON object of at most {_DEEPEST_RECORD} levels and {_MOST_SCORES} entries."
        )
    if not all(_is_showable(inner) for inner, _ in _nested(value)):
        raise MetadataError(f"scores holds a text that cannot be printed or is longer than {_LONGEST_TEXT} characters.")


_CHECKS: dict[str, Callable[[object], None]] = {
    "architecture": _check_architecture,
    "arguments": check_arguments,
    "class_names": _check_file_class_names,
    "in_channels": _check_in_channels,
    "mean": _check_mean,
    "std": _check_std,
    "training": _check_training,
    "scores": _check_scores,
}


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
    problem = f"is a {type(value).__name__}, not a number, a text, or a list or an object of these"
    if isinstance(value, str):
        problem = "" if _is_short_text(value) else f"is not a text of at most {_LONGEST_TEXT} printable characters"
    elif isinstance(value, int | np.integer):
        problem = "" if abs(int(value)) <= _LARGEST_ARGUMENT else f"is a number beyond ±{_LARGEST_ARGUMENT}"
    elif isinstance(value, float | np.floating):
        problem = "" if math.isfinite(value) else "is not a finite number"
    elif value is None:
        problem = ""
    return problem or None


def _is_short_text(text: str) -> bool:
    return len(text) <= _LONGEST_TEXT and text.isprintable()


def _nested(value: object, level: int = 1) -> Iterator[tuple[object, int]]:
    """A value of JSON and all that it holds, each with its level."""
    yield value, level
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nested(inner, level + 1)


def _is_shallow(value: object) -> bool:
    return all(level <= _DEEPEST_RECORD for _, level in _nested(value))


def _is_showable(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_short_text, value))
    return isinstance(value, list) or value is None or is_plain_record(value)
