"""Other splits of a data set than one at random: given in a file, by group, k-fold."""

import csv
import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .data_sets import ImagePair, Split, check_fractions
from .layouts import SPLIT_FOLDERS, numbers_by_value

PARTS = tuple(SPLIT_FOLDERS)
_STEM_COLUMNS = ("stem", "image", "name", "file")
_PART_COLUMNS = ("split", "part", "subset")
_GROUP_COLUMNS = ("group", "patient", "subject")


def split_by_group(
    pairs: Sequence[ImagePair], groups: Mapping[str, Hashable], validation: float, test: float, seed: int = 0
) -> Split:
    """Split a data set at random such that no group (a patient, a slide) is on two sides.

    The largest groups are dealt first, each to the part that lacks most images; which of groups of one size come first
    is random. Fractions, seed and order of the pairs as for `split_pairs`.

    Args:
        pairs: The data set.
        groups: Group of each image by its stem, see `groups_by_name` and `read_groups`.
        validation: Fraction of the images for validation.
        test: Fraction for the test; 0 leaves the test part empty.
        seed: Seed of the shuffle.

    Raises:
        UserError: Fractions outside their range, an image without a group, or fewer groups than parts.
    """
    check_fractions(validation, test)
    wanted = [(1 - validation - test) * len(pairs), validation * len(pairs), *([test * len(pairs)] if test else [])]
    training, valid, *rest = _deal(pairs, groups, wanted, seed)
    return Split(training, valid, rest[0] if rest else ())


def k_folds(
    pairs: Sequence[ImagePair], folds: int, seed: int = 0, groups: Mapping[str, Hashable] | None = None
) -> tuple[Split, ...]:
    """Splits for k-fold cross-validation: fold i is the test part of split i, the next fold its validation part.

    Each image is tested once and used for validation once; without groups the folds' sizes differ by one at most.

    Args:
        pairs: The data set.
        folds: Number k of folds, at least 3.
        seed: Seed of the shuffle. The same pairs and seed give the same folds, whatever their order.
        groups: Group of each image by its stem; no group is in two folds.

    Raises:
        UserError: Fewer than 3 folds, or fewer images or groups than folds.
    """
    if folds < 3:
        raise UserError(f"{folds} folds leave none for training beside validation and test; take 3 or more.")
    own = groups if groups is not None else {pair.stem: pair.stem for pair in pairs}
    dealt = _deal(pairs, own, [len(pairs) / folds] * folds, seed)
    return tuple(
        Split(
            _sorted([pair for other, part in enumerate(dealt) if other not in (index, after) for pair in part]),
            dealt[after],
            dealt[index],
        )
        for index, after in ((index, (index + 1) % folds) for index in range(folds))
    )


def given_split(pairs: Sequence[ImagePair], path: str | Path) -> Split:
    """The split that a CSV or JSON file gives.

    A CSV file has the columns `stem` and `split`; a JSON file holds an object from the part to its stems. Parts are
    called train, val and test, or as the folders of `find_split`; file names may stand for stems.

    Raises:
        UserError: No such file, one that is neither, an unknown part or image, an image that is named twice or never,
            or no image for training or validation.
    """
    path = Path(path)
    entries = _given_parts(path)
    known = {pair.stem: pair for pair in pairs}
    places = {name: part for part, names in SPLIT_FOLDERS.items() for name in (part, *names)}
    parts: dict[str, list[ImagePair]] = {part: [] for part in PARTS}
    left = dict(known)
    for name, part in entries:
        stem = _stem(name, known)
        if stem not in known:
            raise UserError(f"{path.name} names the image {name}, which is not in the data set; remove it there.")
        if part.lower() not in places:
            raise UserError(f"{path.name} puts {name} into the part {part!r}; parts are train, val and test.")
        if left.pop(stem, None) is None:
            raise UserError(f"{path.name} names the image {name} twice; an image belongs to one part.")
        parts[places[part.lower()]].append(known[stem])
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise UserError(f"{path.name} leaves out the image {next(iter(left))}{more}; name a part for each image.")
    for part in ("training", "validation"):
        if not parts[part]:
            raise UserError(f"{path.name} has no image for {part}; name at least one.")
    return Split(**{part: _sorted(found) for part, found in parts.items()})


def groups_by_name(pairs: Sequence[ImagePair], pattern: str) -> dict[str, str]:
    r"""The group of each image by its stem: what a regular expression finds in it, its first bracket if it has one.

    `^[^_]+` takes the stem up to the first underscore, `patient(\\d+)` the patient's number.

    Raises:
        UserError: No regular expression, or a stem in which it finds nothing.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{pattern} is no regular expression ({error}); write one such as ^[^_]+.") from error
    groups = {}
    for pair in pairs:
        found = expression.search(pair.stem)
        group = found and found.group(1 if expression.groups else 0)
        if not group:
            raise UserError(f"The pattern {pattern} finds no group in the name {pair.stem}; write one that fits all.")
        groups[pair.stem] = group
    return groups


def read_groups(pairs: Sequence[ImagePair], path: str | Path) -> dict[str, str]:
    """The group of each image by its stem, from a CSV file with the columns `stem` and `group`.

    Raises:
        UserError: No such file, one without these columns, or an image that it does not name.
    """
    path = Path(path)
    stems = {pair.stem for pair in pairs}
    named = {_stem(name, stems): group for name, group in _columns(path, _GROUP_COLUMNS)}
    for pair in pairs:
        if not named.get(pair.stem):
            raise UserError(f"{path.name} gives no group for the image {pair.stem}; add a row for it.")
    return {pair.stem: named[pair.stem] for pair in pairs}


def _deal(
    pairs: Sequence[ImagePair], groups: Mapping[str, Hashable], wanted: Sequence[float], seed: int
) -> list[tuple[ImagePair, ...]]:
    """Parts of about the wanted sizes, none of them empty, that no group is divided by."""
    members: dict[Hashable, list[ImagePair]] = {}
    for pair in _sorted(pairs):
        if pair.stem not in groups:
            raise UserError(f"The image {pair.stem} has no group; name one for each image.")
        members.setdefault(groups[pair.stem], []).append(pair)
    if len(members) < len(wanted):
        what = "images" if len(members) == len(pairs) else "groups"
        raise UserError(f"{len(members)} {what} are too few for {len(wanted)} parts; add some, or take fewer parts.")
    shuffled = list(members.values())
    np.random.default_rng(seed).shuffle(shuffled)
    shuffled.sort(key=len, reverse=True)
    parts: list[list[ImagePair]] = [[] for _ in wanted]
    for index, group in enumerate(shuffled):
        empty = [number for number, part in enumerate(parts) if not part]
        open_parts = empty if len(shuffled) - index == len(empty) else range(len(parts))
        lacking = max(open_parts, key=lambda number: wanted[number] - len(parts[number]))
        parts[lacking] += group
    return [_sorted(part) for part in parts]


def _sorted(pairs: Sequence[ImagePair]) -> tuple[ImagePair, ...]:
    return tuple(sorted(pairs, key=lambda pair: numbers_by_value(pair.stem)))


def _stem(name: str, known: Any) -> str:
    return name if name in known else Path(name).stem


def _given_parts(path: Path) -> list[tuple[str, str]]:
    """Name and part of each image that the file names."""
    if path.suffix.lower() != ".json":
        return _columns(path, _PART_COLUMNS)

    def read(text: str) -> list[tuple[str, str]]:
        content = json.loads(text)
        if not isinstance(content, dict) or not all(isinstance(names, list) for names in content.values()):
            raise ValueError("no object of lists")
        return [(str(name), part) for part, names in content.items() for name in names]

    return _parsed(path, read, 'write JSON such as {"train": ["1", "2"], "val": ["3"], "test": ["4"]}')


def _columns(path: Path, seconds: Sequence[str]) -> list[tuple[str, str]]:
    """The images' names in a CSV file with the column beside them."""

    def read(text: str) -> list[tuple[str, str]]:
        first, *rest = [row for row in csv.reader(text.splitlines()) if row]
        titles = [title.strip().lower() for title in first]
        names = next(titles.index(name) for name in _STEM_COLUMNS if name in titles)
        values = next(titles.index(name) for name in seconds if name in titles)
        return [(row[names].strip(), row[values].strip()) for row in rest]

    return _parsed(path, read, f"write CSV with the columns {_STEM_COLUMNS[0]} and {seconds[0]}")


def _parsed(path: Path, read: Callable[[str], list[tuple[str, str]]], advice: str) -> list[tuple[str, str]]:
    if not path.is_file():
        raise UserError(f"There is no file {path}; give a CSV or JSON file.")
    try:
        return read(path.read_text(encoding="utf-8-sig"))
    except (ValueError, IndexError, StopIteration, csv.Error) as error:
        raise UserError(f"{path.name} cannot be read as it is; {advice}.") from error
