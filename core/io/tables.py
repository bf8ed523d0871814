"""Tables and values as the bytes of CSV and JSON files."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def averages(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | int | None]]:
    """Mean of the defined values per column of numbers, and how many are defined and undefined (NaN).

    The mean of no values is None. Columns that some rows lack are averaged over the other rows.
    """
    found = {}
    for name in _columns(rows):
        values = [row[name] for row in rows if name in row]
        if not all(isinstance(value, int | float) for value in values):
            continue
        defined = [float(value) for value in values if math.isfinite(value)]
        mean = math.fsum(defined) / len(defined) if defined else None
        found[name] = {"mean": mean, "images": len(defined), "undefined": len(values) - len(defined)}
    return found


def csv_bytes(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> bytes:
    """A table with a line of titles, as the bytes of a CSV file; missing and undefined values (NaN) are empty.

    Args:
        rows: Values by column.
        columns: The titles; empty takes the keys of all rows, in the order in which they come.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, columns or _columns(rows), restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({name: "" if _is_undefined(value) else value for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """An object as the bytes of a JSON file; numbers that JSON lacks (NaN, infinity) become null."""
    return (json.dumps(_with_nulls(content), indent=2, allow_nan=False) + "\n").encode()


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _is_undefined(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _with_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_nulls(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(part) for part in value]
    return None if _is_undefined(value) else value
