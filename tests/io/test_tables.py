import json
import math

from core.io.tables import csv_bytes, json_bytes


def test_json_has_null_where_a_number_is_not_defined():
    content = {"a": math.nan, "b": [1.5, math.inf], "c": {"d": (2, -math.inf)}, "e": "nan", "f": True, "g": None}
    expected = {"a": None, "b": [1.5, None], "c": {"d": [2, None]}, "e": "nan", "f": True, "g": None}
    assert json.loads(json_bytes(content)) == expected
    assert json_bytes({}).endswith(b"\n")


def test_a_table_without_rows_keeps_its_titles():
    assert csv_bytes([], ("name", "score")) == b"name,score\n"
    assert csv_bytes([{"score": 1, "name": "a,b"}], ("name", "score")) == b'name,score\n"a,b",1\n'
