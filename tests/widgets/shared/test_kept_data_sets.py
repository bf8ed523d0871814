"""Uploaded data sets on disk: whole or not at all, bounded, private, expiring, several writers at once."""

import io
import os
import stat
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import UserError
from tests.data.test_archives import link, pairs, png
from widgets.shared import kept_data_sets, kept_files
from widgets.shared.kept_data_sets import KeptDataSets, kept_data_sets_of, packed
from widgets.shared.kept_files import KeptFiles, folder_of, remove_expired


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv(kept_files.VARIABLE, str(tmp_path / "files"))
    return tmp_path / "files"


@pytest.fixture
def sets():
    return kept_data_sets_of("one browser")


def zipped(entries) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def all_paths(root):
    """Everything but locks below a folder."""
    return {path for path in root.rglob("*") if path.name != "lock"}


@pytest.mark.parametrize("prefix", ["", "cells/", "upload/cells/"])
def test_a_data_set_is_kept_for_its_browser_alone(sets, root, prefix):
    assert sets.keep("cells", zipped(pairs(prefix))) == "cells"
    kept = sets.sets()["cells"]
    assert files_in(kept.folder) == dict(pairs())
    assert kept.size == sum(len(content) for _, content in pairs())
    assert stat.S_IMODE(kept.place.parent.stat().st_mode) == 0o700
    assert kept.place.is_relative_to(root)
    assert kept_data_sets_of("another browser").sets() == {}
    assert list(kept_data_sets_of("one browser").sets()) == ["cells"], "found by another process too"


def test_all_see_the_data_sets_of_a_shared_server(sets, monkeypatch):
    sets.keep("private", zipped(pairs()))
    monkeypatch.setenv(kept_files.SHARED_VARIABLE, "1")
    kept_data_sets_of("one browser").keep("common", zipped(pairs()))
    assert list(kept_data_sets_of("another browser").sets()) == ["common"]


def test_names_are_unique_and_may_be_changed(sets):
    assert sets.keep("cells", zipped(pairs()), taken=["cells"]) == "cells (2)"
    assert sets.keep("cells", zipped(pairs())) == "cells"
    assert list(sets.sets()) == ["cells", "cells (2)"], "the newest first"
    assert sets.rename("cells", " my/cells\n of\\ mice ", taken=["scenes"]) == "my cells of mice"
    assert sets.rename("cells (2)", "scenes", taken=["scenes"]) == "scenes (2)"
    assert sets.rename("scenes (2)", "scenes (2)") == "scenes (2)"
    assert files_in(sets.sets()["my cells of mice"].folder) == dict(pairs())
    with pytest.raises(UserError, match="needs a name"):
        sets.rename("scenes (2)", " / ")
    with pytest.raises(UserError, match="cells is no longer here; upload it again"):
        sets.rename("cells", "other")
    sets.remove("scenes (2)")
    sets.remove("scenes (2)")
    assert list(sets.sets()) == ["my cells of mice"]


def bomb():
    return [*pairs(), ("images/large.png", b"\x89PNG\r\n\x1a\n" + bytes(64 * 2**20))]


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([*pairs(), ("../outside.png", png())], "no path inside a folder"),
        ([*pairs(), ("/etc/outside.png", png())], "no path inside a folder"),
        ([*pairs(), (link("images/link.png"), b"/etc/passwd")], "is a link or a device"),
        (bomb(), r"grows [\d,]+-fold"),
        ([("notes.txt", b"nothing here")], "has no PNG, JPEG or TIFF image"),
        ([("pictures/1.png", png()), ("pictures/2.png", png())], "holds no data set: it needs images/ beside labels/"),
    ],
)
def test_nothing_of_a_refused_archive_is_left(sets, root, tmp_path, entries, why):
    sets.keep("before", zipped(pairs()))
    before = all_paths(tmp_path)
    with pytest.raises(UserError, match=why):
        sets.keep("refused", zipped(entries))
    assert all_paths(tmp_path) == before
    assert list(sets.sets()) == ["before"]


def test_bounds_hold_for_all_of_a_browsers_data_sets(sets, monkeypatch):
    size = sum(len(content) for _, content in pairs())
    monkeypatch.setattr(kept_data_sets, "MAX_SET_BYTES", 2 * size + 10)
    sets.keep("one", zipped(pairs()))
    sets.keep("two", zipped(pairs()))
    with pytest.raises(UserError):
        sets.keep("three", zipped(pairs()))
    assert list(sets.sets()) == ["two", "one"]
    sets.remove("one")
    sets.keep("three", zipped(pairs()))
    monkeypatch.setattr(kept_data_sets, "MAX_SETS", 2)
    with pytest.raises(UserError, match="2 uploaded data sets are kept already, which is the most; delete one first"):
        sets.keep("four", zipped(pairs()))


def test_a_folder_is_packed_and_checked_as_an_archive(sets):
    uploaded = [(f"cells/{name}", io.BytesIO(content)) for name, content in pairs()]
    with packed(uploaded) as archive:
        sets.keep("cells", archive)
    assert files_in(sets.sets()["cells"].folder) == dict(pairs())
    with (
        pytest.raises(UserError, match="no path inside a folder"),
        packed([("../x.png", io.BytesIO(png()))]) as archive,
    ):
        sets.keep("bad", archive)


def test_what_a_crash_left_is_never_listed_and_goes_with_the_next_upload(sets, monkeypatch):
    sets.keep("whole", zipped(pairs()))
    home = sets.sets()["whole"].place.parent
    for name in (".partial-0123", ".removed-0123"):
        (home / name / "content").mkdir(parents=True)
    (home / "damaged").mkdir()
    (home / "damaged" / "set.json").write_bytes(b"{")
    assert list(sets.sets()) == ["whole"]

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(kept_data_sets, "_write", crash)
        with pytest.raises(KeyboardInterrupt):
            sets.keep("half", zipped(pairs()))
    assert list(sets.sets()) == ["whole"]
    sets.keep("next", zipped(pairs()))
    assert {path.name for path in home.iterdir() if path.name.startswith(".")} == set()


def test_sessions_at_once_lose_nothing(sets):
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: kept_data_sets_of("one browser").keep("cells", zipped(pairs())), range(4)))
    assert sorted(names) == ["cells", "cells (2)", "cells (3)", "cells (4)"]
    assert set(sets.sets()) == set(names)
    assert all(files_in(each.folder) == dict(pairs()) for each in sets.sets().values())


def test_data_sets_are_deleted_a_day_after_their_last_use(sets, root):
    sets.keep("cells", zipped(pairs()))
    KeptFiles(folder_of("one browser")).keep("image", "a.png", b"one")
    yesterday = time.time() - kept_files.EXPIRY - 60
    home = sets.sets()["cells"].place.parent
    for folder in root.iterdir():
        os.utime(folder, (yesterday, yesterday))
    assert list(KeptDataSets(home).sets()) == ["cells"], "which is a use"
    remove_expired(root)
    assert [path.name for path in root.iterdir()] == [home.name]
    os.utime(home, (yesterday, yesterday))
    remove_expired(root)
    assert list(root.iterdir()) == []
