"""Files on disk: bounds, expiry, damage, several writers at once."""

import hashlib
import json
import multiprocessing
import os
import stat
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from core import UserError
from widgets.shared import kept_files
from widgets.shared.kept_files import MAX_FILES, KeptFiles, folder_of, remove_expired, size_in_words


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "browser-0"


@pytest.fixture
def files(folder):
    return KeptFiles(folder)


def contents(files: KeptFiles, kind: kept_files.Kind = "image") -> dict[str, bytes]:
    return {name: files.path(file).read_bytes() for name, file in files.files(kind).items()}


def on_disk(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_lie_under_their_hash_in_a_private_folder_for_another_process_to_find(files, folder):
    files.keep("image", "../../a.png", b"one", shape=[1, 2, 3])
    files.keep("network", "net.safetensors", b"two")
    names = {hashlib.sha256(b"one").hexdigest(), f"{hashlib.sha256(b'two').hexdigest()}.safetensors"}
    assert on_disk(folder) == names | {"index.json", "lock"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = KeptFiles(folder)
    assert contents(again) == {"../../a.png": b"one"}
    assert again.files("image")["../../a.png"].details == {"shape": [1, 2, 3]}


def test_the_oldest_of_a_kind_goes_with_its_ground_truth(files, folder):
    most = MAX_FILES["image"]
    files.keep("truth", "none.png", b"no image of this name", replaces=True)
    for number in range(most):
        assert files.keep("image", f"{number}.png", b"%d" % number) == (f"{number}.png", [])
    files.keep("truth", "0.png", b"mask", replaces=True, file="mask.png")
    files.keep("network", "a.pth", b"network")
    assert files.keep("image", "new.png", b"new") == ("new.png", ["0.png"])
    assert list(files.files("image")) == [*(f"{number}.png" for number in range(1, most)), "new.png"]
    assert files.files("truth") == {}
    assert len(on_disk(folder)) == most + 1 + 2, "contents, index and lock"


def test_bytes_are_bounded_over_all_kinds_and_the_newest_stays(files, monkeypatch):
    monkeypatch.setattr(kept_files, "MAX_BYTES", 10)
    files.keep("network", "a.pth", b"4444")
    files.keep("image", "b.png", b"55555")
    assert files.keep("image", "c.png", b"22") == ("c.png", ["a.pth"])
    assert files.keep("truth", "b.png", b"4444", replaces=True, file="m.png")[1] == ["c.png"]
    assert files.keep("image", "large.png", b"x" * 20) == ("large.png", ["b.png", "m.png"])
    assert contents(files) == {"large.png": b"x" * 20}


def test_names_are_told_apart_and_the_same_content_keeps_its_place_and_details(files, folder):
    assert files.keep("network", "a.pth", b"one")[0] == "a.pth"
    files.describe("network", "a.pth", options={"normalisation": "none"})
    assert files.keep("network", "a.pth", b"two")[0] == "a (2).pth"
    assert files.keep("network", "a.pth", b"one")[0] == "a.pth"
    assert files.files("network")["a.pth"].details == {"options": {"normalisation": "none"}}
    assert list(files.files("network")) == ["a (2).pth", "a.pth"]
    files.keep("baseline", "b.png", b"one")
    files.keep("baseline", "c.png", b"three", replaces=True)
    assert list(files.files("baseline")) == ["c.png"]
    files.remove("network", "a.pth")
    assert contents(files, "network") == {"a (2).pth": b"two"}
    assert len(on_disk(folder)) == 4


def test_a_removed_image_takes_its_ground_truth_along(files, folder):
    files.keep("image", "a.png", b"image")
    files.keep("truth", "a.png", b"mask", replaces=True)
    files.remove("truth", "other.png")
    assert len(files.files()) == 2
    files.remove("image", "a.png")
    assert files.files() == {}
    assert on_disk(folder) == {"index.json", "lock"}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b"7",
        b"[" * 100_000,
        json.dumps([{"kind": "image", "name": "a", "hash": "../../etc/passwd", "size": 1}]).encode(),
        json.dumps([{"kind": "other", "name": "a", "hash": "0" * 64, "size": 1}]).encode(),
    ],
)
def test_a_damaged_index_is_forgotten_with_a_sentence(files, folder, damage):
    files.keep("image", "a.png", b"one")
    (folder / "index.json").write_bytes(damage)
    assert files.files() == {}
    assert files.forget_lost() == "The list of your files was damaged; upload them again."
    assert files.forget_lost() == ""
    files.keep("image", "b.png", b"two")
    assert contents(files) == {"b.png": b"two"}


def test_files_that_are_gone_or_cut_off_are_forgotten_with_a_sentence(files):
    files.keep("image", "a.png", b"one")
    files.keep("image", "b.png", b"two")
    files.keep("image", "c.png", b"three")
    kept = files.files("image")
    files.path(kept["a.png"]).unlink()
    files.path(kept["b.png"]).write_bytes(b"t")
    assert files.forget_lost() == "a.png, b.png are no longer here; upload again."
    assert (list(files.files("image")), files.forget_lost()) == (["c.png"], "")


def test_folders_are_deleted_a_day_after_their_last_use(tmp_path):
    old, used, foreign = tmp_path / "browser-1", tmp_path / "browser-2", tmp_path / "thesis"
    for folder in (old, used):
        KeptFiles(folder).keep("image", "a.png", b"one")
    foreign.mkdir()
    yesterday = time.time() - kept_files.EXPIRY - 60
    for folder in (old, used, foreign):
        os.utime(folder, (yesterday, yesterday))
    assert list(KeptFiles(used).files("image")) == ["a.png"]
    remove_expired(tmp_path)
    assert on_disk(tmp_path) == {"browser-2", "thesis"}
    os.utime(used, (yesterday, yesterday))
    remove_expired(tmp_path, in_use=[used / "set" / "images"])
    assert on_disk(tmp_path) == {"browser-2", "thesis"}


def test_threads_that_write_at_once_lose_nothing(files, folder):
    def write(number: int) -> None:
        mine = KeptFiles(folder)
        mine.keep("image", f"{number}.png", b"%d" % number)
        mine.keep("truth", f"{number}.png", b"mask %d" % number, replaces=True)
        assert not mine.forget_lost()

    most = MAX_FILES["image"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(most)))
    assert contents(files) == {name: name.removesuffix(".png").encode() for name in files.files("image")}
    assert len(files.files("image")) == len(files.files("truth")) == most


def _write_and_remove(folder: Path, number: int) -> None:
    files = KeptFiles(folder)
    for step in range(10):
        files.keep("image", f"{number}-{step}.png", b"%d %d" % (number, step))
        if step:
            files.remove("image", f"{number}-{step - 1}.png")


def test_processes_that_write_at_once_lose_nothing(files, folder):
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as pool:
        for future in [pool.submit(_write_and_remove, folder, number) for number in range(3)]:
            future.result()
    assert contents(files) == {f"{number}-9.png": b"%d 9" % number for number in range(3)}
    assert len(on_disk(folder)) == 5


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(files, folder, monkeypatch):
    files.keep("image", "a.png", b"one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_files, "write_atomically", full)
    with pytest.raises(UserError, match=r"cannot be kept in .* \(No space left on device\)\. Free some space there\."):
        files.keep("image", "b.png", b"two")
    assert contents(files) == {"a.png": b"one"}


def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.delenv("WHYPIXEL_FILES")
    monkeypatch.setattr(kept_files.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = folder_of("secret")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(UserError, match="it belongs to another user; name your own in WHYPIXEL_FILES"):
        KeptFiles(folder).keep("image", "a.png", b"one")


def test_the_folder_does_not_tell_the_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("WHYPIXEL_FILES", str(tmp_path))
    assert folder_of("secret").parent == tmp_path
    assert folder_of("secret").name == f"browser-{hashlib.sha256(b'secret').hexdigest()[:32]}"


def test_sizes_in_words():
    assert [size_in_words(size) for size in (1, 2048, 3 * 2**19, 600 * 2**20)] == ["1 KB", "2 KB", "1.5 MB", "600.0 MB"]


def test_a_file_is_called_otherwise_and_stays_what_it_is(files):
    files.keep("network", "a.safetensors", b"one", options={"normalisation": "none"})
    files.keep("network", "b.pth", b"two")
    files.rename("network", "a.safetensors", " mice ")
    assert contents(files, "network") == {"mice": b"one", "b.pth": b"two"}
    renamed = files.files("network")["mice"]
    assert (renamed.title, files.path(renamed).suffix) == ("a.safetensors", ".safetensors")
    assert renamed.details["options"] == {"normalisation": "none"}
    for name, new, sentence in (
        ("mice", "b.pth", "called b.pth already"), ("mice", " ", "needs a name"), ("mice", "a\nb", "needs a name"),
        ("gone", "new", "no longer here"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=sentence):
            files.rename("network", name, new)
    assert list(files.files("network")) == ["mice", "b.pth"]
