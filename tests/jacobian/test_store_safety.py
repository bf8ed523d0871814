"""A store that somebody sent runs no code, blocks no thread, and is believed in nothing."""

import io
import json
import os
import pickle
import shutil
import socket
import stat
import zipfile
from dataclasses import fields
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.jacobian import Jacobian
from core.jacobian.archive import read_archive, write_archive
from core.jacobian.manifest import CHECKS, Manifest
from core.jacobian.store import JacobianStore
from tests.jacobian.stores import ARRAYS, RESULTS, edit_constant, edit_manifest, edit_metadata, small_store

REFUSED = "not a whole Jacobian store"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small_store(tmp_path_factory.mktemp("stores") / "small.zarr", 12).path


@pytest.fixture
def path(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy.zarr")


class Marker:
    """Code that runs when it is unpickled, and leaves a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def make_evil(path: Path, original: Path, marker: Path) -> None:
    """A store of Zarr version 2 whose image is unpickled when it is read."""
    manifest = json.loads((original / "zarr.json").read_text())["attributes"]
    array = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "dtype": "|O",
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": [{"id": "vlen-utf8"}, {"id": "pickle", "protocol": 4}],
    }
    (path / "image").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(manifest))
    (path / "image" / ".zarray").write_text(json.dumps(array))
    (path / "image" / "0").write_bytes(pickle.dumps(Marker(marker)))


@pytest.mark.parametrize("beside", [False, True])
def test_no_code_runs_from_a_store_of_zarr_2(original, tmp_path, monkeypatch, beside):
    """The switch of newer numcodecs is off by default; older ones have none."""
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True)
    pickle.loads(pickle.dumps(Marker(tmp_path / "proof")))  # noqa: S301 - the marker works
    assert (tmp_path / "proof").exists()
    store, marker = tmp_path / "evil.zarr", tmp_path / "marker"
    if beside:
        shutil.copytree(original, store)
        shutil.rmtree(store / "image")
    make_evil(store, original, marker)
    with pytest.raises(UserError, match=REFUSED):
        Jacobian(store)
    write_archive(store, buffer := io.BytesIO())
    with pytest.raises(UserError, match=f"The archive is {REFUSED}"):
        read_archive(buffer, tmp_path / "unpacked.zarr")
    assert not marker.exists()


def place_fifo(target: Path) -> None:
    os.mkfifo(target)


def place_link(target: Path) -> None:
    target.symlink_to("/etc/hostname")


def place_device(target: Path) -> None:
    try:
        os.mknod(target, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def place_socket(target: Path) -> None:
    before = Path.cwd()
    os.chdir(target.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(target.name)
    finally:
        os.chdir(before)


def place_folder(target: Path) -> None:
    target.mkdir()


PLACES = ["zarr.json", "image/zarr.json", "image/c.0.0.0", "rows/c.0.0.0.0", "statistics/c.0.0.0", "rows/c.9.0.0.0"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", [place_fifo, place_link, place_device, place_socket, place_folder])
@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_regular_file_is_refused(path, place, name):
    (path / name).unlink(missing_ok=True)
    place(path / name)
    with pytest.raises(UserError, match=REFUSED):
        Jacobian(path)


def test_an_array_that_is_a_link_is_refused(path, original):
    shutil.rmtree(path / "rows")
    (path / "rows").symlink_to(original / "rows")
    with pytest.raises(UserError, match=REFUSED):
        Jacobian(path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", [place_fifo, place_folder])
def test_a_pipe_that_comes_later_blocks_nothing(path, place):
    opened = Jacobian(path)
    assert opened.complete
    (path / "rows" / "c.0.0.0.0").unlink()
    place(path / "rows" / "c.0.0.0.0")
    with pytest.raises(UserError, match="damaged"):
        opened.threshold_map()


@pytest.mark.parametrize(
    "name", [".zarray", ".zattrs", "image/.zarray", "image/0.0", "image/c/0", "more/zarr.json", "rows/notes.txt"]
)
def test_a_file_that_no_run_writes_is_refused(path, name):
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("{}")
    with pytest.raises(UserError, match=f"{REFUSED}.*no part of one"):
        Jacobian(path)


@pytest.mark.parametrize("name", ["rows/c.0.0.0.{}.partial", "zarr.{}.partial", "image/zarr.{}.partial"])
def test_what_a_killed_run_leaves_is_no_harm(path, name):
    (path / name.format("0123456789abcdef" * 2)).write_bytes(b"half")
    assert Jacobian(path).complete


@pytest.mark.parametrize("name", ["zarr.json", "rows/zarr.json"])
@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"[" * 100_000, b"{}" + b" " * 2**20, b"\xff\xfe{}", b'{"zarr_format": 1e999}', b""]
)
def test_metadata_that_is_no_metadata(path, name, content):
    (path / name).write_bytes(content)
    with pytest.raises(UserError, match=REFUSED):
        Jacobian(path)


CHANGES = {
    "format": {"zarr_format": 2},
    "format as a float": {"zarr_format": 3.0},
    "node type": {"node_type": "group"},
    "shape": {"shape": [10**9, 10**9]},
    "shape of nothing": {"shape": []},
    "shape as floats": {"shape": [12.0, 12.0]},
    "shape of booleans": {"shape": [True, True]},
    "negative shape": {"shape": [-1, -1]},
    "no shape": {"shape": None},
    "data type": {"data_type": "float64"},
    "objects": {"data_type": "string"},
    "chunk shape": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1]}}},
    "key encoding": {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}}},
    "fill value": {"fill_value": 7},
    "codecs": {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]},
    "pickle": {"codecs": [{"name": "vlen-utf8"}, {"name": "numcodecs.pickle", "configuration": {}}]},
    "no codecs": {"codecs": []},
    "transformers": {"storage_transformers": [{"name": "evil"}]},
    "attributes": {"attributes": {"a": 1}},
    "dimension names": {"dimension_names": ["a", "b"]},
    "more": {"consolidated_metadata": {}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_array_of_another_layout_is_refused(original, tmp_path, change):
    path = shutil.copytree(original, tmp_path / "copy.zarr")
    for name in ARRAYS:
        file = path / name / "zarr.json"
        before = file.read_bytes()
        edit_metadata(file, lambda document: document.update(change))
        with pytest.raises(UserError, match=REFUSED):
            Jacobian(path)
        file.write_bytes(before)
    assert Jacobian(path).complete


@pytest.mark.parametrize(
    "change",
    [
        {"zarr_format": 2},
        {"node_type": "array"},
        {"attributes": []},
        {"attributes": {}},
        {"attributes": {"whypixel_jacobian": []}},
        {"consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": {}}},
    ],
)
def test_a_group_that_no_run_makes_is_refused(path, change):
    edit_metadata(path / "zarr.json", lambda document: document.update(change))
    with pytest.raises(UserError, match=REFUSED):
        Jacobian(path)


_NO_INTEGERS = [None, True, "1", 1.0, float("nan"), float("inf"), [1], {}, -1, 2**70]
_NO_TEXTS = [None, 1, ["a"], "a" * 20_000, "\ud800"]
_NO_HASHES = [None, 1, "abc", "A" * 64, "g" * 64, ["a" * 64]]
_NO_FLAGS = [None, 0, 1, "true", []]
WRONG = {
    "model": _NO_TEXTS,
    "weights_hash": [*_NO_HASHES, ""],
    "image_hash": [*_NO_HASHES, "", "0" * 64],
    "class_index": [value for value in _NO_INTEGERS if value != -1] + [-2],  # -1 is the class predicted
    "space": [None, 1, "odds", ["logit"], ""],
    "stride": [*_NO_INTEGERS, 0],
    "region_hash": _NO_HASHES,
    "dtype": [None, 1, "float64", "object", "|O", ["float32"], "uint8"],
    "keep_rows": [*_NO_FLAGS, False],
    "channels": [*_NO_INTEGERS, 0, 2],
    "dense": _NO_FLAGS,
    "note": _NO_TEXTS,
    "batch_size": [*_NO_INTEGERS, 0, 2**40],
    "passes_per_block": [*_NO_INTEGERS, 0, 3, 2**40],
    "lowest_bin": [*_NO_INTEGERS, 0, 5000],
    "versions": [None, [], "torch", {"torch": 1}, {"torch": None}, {str(i): "" for i in range(1000)}],
    "schema": [value for value in _NO_INTEGERS if value != 2**70] + [0],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_manifest_that_no_run_writes_is_refused(path, name, value):
    edit_manifest(path, lambda entries: entries.update({name: value}))
    with pytest.raises(UserError, match=REFUSED):
        Jacobian(path)


@pytest.mark.parametrize("name", [field.name for field in fields(Manifest) if field.name != "schema"])
def test_every_entry_of_the_manifest_is_checked_and_hashed(path, name):
    assert name in CHECKS
    edit_metadata(
        path / "zarr.json", lambda document: document["attributes"]["whypixel_jacobian"].update({name: "1" * 64})
    )
    with pytest.raises(UserError, match=r"manifest in zarr\.json is damaged"):
        Jacobian(path)


def test_an_entry_that_is_missing_is_named(path):
    edit_manifest(path, lambda entries: entries.pop("stride"))
    with pytest.raises(UserError, match="“stride” is missing"):
        Jacobian(path)


def test_a_store_of_an_earlier_version_is_told(path):
    edit_manifest(path, lambda entries: entries.update(schema=1))
    with pytest.raises(UserError, match=r"earlier version .* compute it again in another folder, or delete it first"):
        Jacobian(path)


def put(place, value):
    def change(values: np.ndarray) -> None:
        values[place] = value

    return change


def repeat_first(values: np.ndarray) -> None:
    values[1] = values[0]


def put_byte(values: np.ndarray) -> None:
    values.view(np.uint8)[0, 0] = 2


PLANS = {
    "row_support": [put((0, 0), -1), put((11, 1), 12), put((5, 0), 11), put((5, 1), 0), put((0, 1), 2**62)],
    "column_support": [put((0, 0), -(2**62)), put((11, 1), 12), put(..., 3)],
    "row_colour": [put(0, 7), put(0, -2), put(..., 0), put(..., -1), put(..., 1), put(0, 2**31 - 1)],
    "column_colour": [put(0, 3), put(..., 0), put(0, -(2**31))],
    "passes": [put((0, 0), 3), put((0, 1), -1), repeat_first, put(..., 0), put((0, 0), 2**31 - 1)],
    "selected": [put(..., 0), put_byte],
    "image": [put((0, 0, 0), 0.5)],
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name, changes in PLANS.items() for change in changes])
def test_a_plan_that_cannot_be_is_refused(path, name, change):
    edit_constant(path, name, change)
    with pytest.raises(UserError, match=REFUSED):
        Jacobian(path)


def test_a_chunk_that_would_unpack_to_more_is_refused(path):
    file = path / "histogram" / "c.0.0.0"
    huge = numcodecs.Blosc("zstd").encode(bytes(2**27))
    file.write_bytes(huge + bytes(4))
    with pytest.raises(UserError, match="damaged"):
        Jacobian(path).threshold_map(source="histogram")


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_an_archive_with_a_pipe_or_a_device_is_refused(tmp_path, kind):
    entry = zipfile.ZipInfo("store.zarr/image/c.0.0.0")
    entry.external_attr = (kind | 0o600) << 16
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as file:
        file.writestr(entry, b"")
    with pytest.raises(UserError, match="no regular file"):
        read_archive(buffer, tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("again", ["store.zarr/zarr.json", "store.zarr/./zarr.json"])
def test_an_archive_that_holds_a_file_twice_is_refused(tmp_path, again):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as file:
        file.writestr("store.zarr/zarr.json", "{}")
        file.writestr(again, "{}")
    with pytest.raises(UserError, match="twice"):
        read_archive(buffer, tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=150)
@given(st.data())
def test_one_changed_byte_of_metadata_changes_no_answer(original, tmp_path_factory, data):
    path = original.parent / "changed.zarr"
    if not path.exists():
        shutil.copytree(original, path)
    name = data.draw(st.sampled_from(["zarr.json", *(f"{array}/zarr.json" for array in ARRAYS)]))
    before = (path / name).read_bytes()
    changed = bytearray(before)
    changed[data.draw(st.integers(0, len(before) - 1))] = data.draw(st.integers(0, 255))
    (path / name).write_bytes(changed)
    try:
        opened = JacobianStore(path)
    except UserError:
        return
    finally:
        (path / name).write_bytes(before)
    expected = JacobianStore(original)
    assert opened.manifest == expected.manifest
    for array in ("image", "labels"):
        np.testing.assert_array_equal(getattr(opened, array), getattr(expected, array))
    for array in RESULTS:
        np.testing.assert_array_equal(opened.read(array), expected.read(array))
