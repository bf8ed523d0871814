"""What is learned is kept, in memory and on disk, and nothing else is believed."""

import json
import threading

import numpy as np
import pytest

from core.receptive_field import known, known_field, learn_field
from core.receptive_field.files import _checksum, _identity, field_file
from core.receptive_field.known import known_windows
from core.receptive_field.support import structural_support
from core.segmenter import Segmenter
from tests.receptive_field.networks import WITH_WINDOWS, WITHOUT_WINDOWS, Positioned

SIZE = (61, 47)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WHYPIXEL_CACHE", str(tmp_path))


@pytest.fixture
def _no_probing(monkeypatch):
    def probed(*_):
        raise AssertionError("it was probed")

    monkeypatch.setattr(known, "structural_support", probed)
    monkeypatch.setattr(known, "proven_windows", probed)


def _segmenter(name: str = "dilated") -> Segmenter:
    return {**WITH_WINDOWS, **WITHOUT_WINDOWS}[name][0]()


def _file(segmenter: Segmenter):
    return field_file(segmenter.weights_hash, SIZE)


def _assert_same(field, other):
    for axis in ("rows", "columns"):
        np.testing.assert_array_equal(getattr(field, axis).first, getattr(other, axis).first)
        np.testing.assert_array_equal(getattr(field, axis).last, getattr(other, axis).last)
    assert (field.dense, field.reason) == (other.dense, other.reason)


@pytest.mark.usefixtures("_no_probing")
def test_nothing_is_probed_for_a_field_that_is_not_known():
    assert known_field(_segmenter(), SIZE) is None


def test_a_field_is_learned_once_and_known_to_other_processes():
    segmenter = _segmenter()
    learned = learn_field(segmenter, SIZE)
    assert known_field(segmenter, SIZE) is learned
    assert known_windows(segmenter, SIZE).confirmed
    _assert_same(learned, structural_support(_segmenter(), SIZE))
    again = _segmenter()  # as in another process: another segmenter of the same network
    _assert_same(known_field(again, SIZE), learned)
    assert known_windows(again, SIZE).windows.alignment == 16
    assert not known_windows(again, SIZE).confirmed


def test_a_field_on_disk_is_not_probed_again(request):
    learned = learn_field(_segmenter(), SIZE)
    request.getfixturevalue("_no_probing")
    _assert_same(learn_field(_segmenter(), SIZE), learned)


@pytest.mark.parametrize("name", ["dense", "position"])
def test_that_there_are_no_windows_is_known_too(name):
    learned = learn_field(_segmenter(name), SIZE)
    segmenter = _segmenter(name)
    _assert_same(known_field(segmenter, SIZE), learned)
    assert known_windows(segmenter, SIZE).windows is None


def test_other_weights_and_other_sizes_are_not_known():
    segmenter = _segmenter()
    learn_field(segmenter, SIZE)
    assert known_field(segmenter, (61, 48)) is None
    other = _segmenter()
    other.module[0].weight.data[0, 0, 0, 0] += 1
    assert known_field(other, SIZE) is None


def _changed(content: dict, **changes: object) -> bytes:
    content = {key: value for key, value in (content | changes).items() if key != "checksum"}
    return json.dumps(content | {"checksum": _checksum(content)}).encode()


def _too_long(content: dict) -> bytes:
    rows = content["rows"]
    return _changed(content, rows={"first": [*rows["first"], 0], "last": [*rows["last"], 0]})


DAMAGE = {
    "empty": lambda content: b"",
    "half": lambda content: json.dumps(content).encode()[:500],
    "no JSON": lambda content: b"\xff\xfe\x00",
    "a list": lambda content: b"[]",
    "nested": lambda content: b"[" * 100_000,
    "another network": lambda content: _changed(content, weights_sha256="0" * 64),
    "another size": lambda content: _changed(content, size=[47, 61]),
    "another version": lambda content: _changed(content, version=0),
    "one number changed": lambda content: json.dumps(content | {"alignment": 32}).encode(),
    "another length": _too_long,
    "outside the image": lambda content: _changed(
        content, columns={"first": [0] * SIZE[1], "last": [SIZE[1]] * SIZE[1]}
    ),
    "turned round": lambda content: _changed(content, columns={"first": [9] * SIZE[1], "last": [3] * SIZE[1]}),
    "no whole numbers": lambda content: _changed(content, columns={"first": "abc", "last": None}),
    "alignment": lambda content: _changed(content, alignment=-16),
    "alignment of another type": lambda content: _changed(content, alignment=True),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_and_foreign_files_are_ignored_and_written_anew(damage):
    learned = learn_field(_segmenter(), SIZE)
    file = _file(_segmenter())
    content = file.read_bytes()
    file.write_bytes(DAMAGE[damage](json.loads(content)))
    segmenter = _segmenter()
    assert known_field(segmenter, SIZE) is None
    _assert_same(learn_field(segmenter, SIZE), learned)
    assert file.read_bytes() == content


def test_an_unchanged_file_passes_the_check_that_refuses_changed_ones():
    learn_field(_segmenter(), SIZE)
    file = _file(_segmenter())
    file.write_bytes(_changed(json.loads(file.read_bytes())))
    assert known_field(_segmenter(), SIZE) is not None


def test_the_number_of_files_is_bounded(monkeypatch):
    monkeypatch.setattr("core.receptive_field.files._MOST_FILES", 2)
    segmenter = _segmenter()
    for width in (40, 41, 42, 43):
        learn_field(segmenter, (61, width))
    folder = _file(segmenter).parent
    assert len(list(folder.iterdir())) == 2
    assert field_file(segmenter.weights_hash, (61, 43)).exists()


def test_a_folder_that_cannot_be_written_to_costs_only_the_next_probing(tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("WHYPIXEL_CACHE", str(blocked))
    segmenter = _segmenter()
    learned = learn_field(segmenter, SIZE)
    assert known_field(segmenter, SIZE) is learned
    assert known_field(_segmenter(), SIZE) is None


def test_threads_that_ask_together_learn_once(monkeypatch):
    segmenter, probed, found = _segmenter(), [], []
    monkeypatch.setattr(known, "structural_support", lambda *given: probed.append(1) or structural_support(*given))
    threads = [threading.Thread(target=lambda: found.append(learn_field(segmenter, SIZE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(probed) == 1
    assert all(each is found[0] for each in found)


def test_the_file_names_what_it_is_of():
    segmenter = Segmenter(Positioned(), in_channels=1)
    learn_field(segmenter, SIZE)
    content = json.loads(_file(segmenter).read_bytes())
    assert content.items() >= _identity(segmenter.weights_hash, SIZE).items()
