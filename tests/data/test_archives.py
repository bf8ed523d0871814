"""Archives from strangers: whatever is in them, nothing is written but a whole data set in its own folder."""

import io
import stat
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.data.archives import ArchiveLimits, extract_archive
from core.data.inspection import inspect_data_set
from core.errors import UserError


def png(seed=0):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def archive(path, entries):
    """Writes a ZIP file; a name may be a ZipInfo."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def link(name, kind=stat.S_IFLNK):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.fixture
def place(tmp_path):
    """A folder that holds nothing but what extraction writes."""
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


def pairs(prefix="", separator="/"):
    for number in range(4):
        yield f"{prefix}images{separator}{number}.png", png(number)
        yield f"{prefix}masks{separator}{number}.png", png(10 + number)


@pytest.mark.parametrize("prefix", ["", "my set/", "./"])
def test_a_data_set_is_unpacked_as_it_was_packed(tmp_path, place, prefix):
    extras = [("__MACOSX/images/._0.png", b"junk"), (f"{prefix}images/.DS_Store", b"junk"), (f"{prefix}images/", b"")]
    path = archive(tmp_path / "set.zip", [*pairs(prefix), (f"{prefix}palette.json", '{"a": [0, 0, 0]}'), *extras])
    folder = extract_archive(path, place / "new" / "set")
    assert folder == place / "new" / "set" / prefix.strip("./")
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert found == {**dict(pairs()), "palette.json": b'{"a": [0, 0, 0]}'}
    assert [path.name for path in (place / "new").iterdir()] == ["set"]
    assert len(inspect_data_set(folder).issues) > 0  # its masks are noise


def test_names_with_backslashes_are_folders(tmp_path, place):
    with archive(tmp_path / "set.zip", pairs(separator="\\")).open("rb") as file:
        folder = extract_archive(file, place / "set")
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["0.png", "1.png", "2.png", "3.png"]


REFUSED = {
    "parent": ("../evil.png", "no path inside a folder"),
    "parent deep inside": ("images/../../evil.png", "no path inside a folder"),
    "parent with backslashes": ("..\\evil.png", "no path inside a folder"),
    "parent with both": ("images\\..\\..\\evil.png", "no path inside a folder"),
    "absolute": ("/var/evil.png", "no path inside a folder"),
    "absolute with a backslash": ("\\evil.png", "no path inside a folder"),
    "drive": ("C:\\evil.png", "no path inside a folder"),
    "stream": ("images/a.png:evil.png", "no path inside a folder"),
    "line break": ("images/a\n.png", "no path inside a folder"),
    "hidden parent": (".hidden/../../evil.png", "no path inside a folder"),
    "folder with a dot at its end": ("images./a.png", "not every system can store"),
    "long": ("a" * 300 + ".png", "not every system can store"),
    "deep": ("a/" * 10 + "a.png", "not every system can store"),
    "program": ("images/run.exe", "is no PNG, JPEG or TIFF image"),
    "script": ("images/run.py", "is no PNG, JPEG or TIFF image"),
    "archive in the archive": ("more.zip", "is no PNG, JPEG or TIFF image"),
    "same name": ("images/0.png", "two files called images/0.png"),
    "same name but for its case": ("Images/0.PNG", "two files called"),
    "file that is a folder": ("images/0.png/a.png", "both a file and a folder called images/0.png"),
    "link": (link("images/link.png"), "is a link or a device"),
    "hidden link": (link(".link.png"), "is a link or a device"),
    "pipe": (link("images/pipe.png", stat.S_IFIFO), "is a link or a device"),
    "text called an image": ("images/text.png", "is not what its name says"),
    "picture called a table": ("split.csv", "is not what its name says"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_belong_is_refused_and_nothing_is_written(tmp_path, place, case):
    name, sentence = REFUSED[case]
    content = b"/etc/passwd" if isinstance(name, zipfile.ZipInfo) or "text" in case else png(99)
    path = archive(tmp_path / "set.zip", [*pairs(), (name, content)])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=sentence):
        extract_archive(path, place / "inside" / "set")
    assert [path for path in tmp_path.rglob("*") if path not in before and path != place / "inside"] == []


def test_a_name_cut_off_by_a_null_byte_is_refused(tmp_path, place):
    path = archive(tmp_path / "set.zip", [*pairs(), ("images/evil.exe#.png", png())])
    path.write_bytes(path.read_bytes().replace(b"evil.exe#.png", b"evil.exe\0.png"))
    with pytest.raises(UserError, match="no path inside a folder"):
        extract_archive(path, place / "set")
    assert list(place.iterdir()) == []


LIMITS = ArchiveLimits(max_files=20, max_bytes=100_000, max_file_bytes=60_000, max_note_bytes=1_000, ratio_from=20_000)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([(f"{number}.png", b"") for number in range(21)], "21 entries; at most 20"),
        ([("0.png", bytes(60_001))], r"0\.png in the archive has 0 MB; at most 0 MB"),
        ([("0.png", png()), ("split.csv", b"a" * 1_001)], r"split\.csv in the archive has"),
        ([(f"{number}.png", bytes(50_000)) for number in range(3)], "MB when it is unpacked"),
        ([("0.png", png() + bytes(50_000))], r"grows \d+-fold when it is unpacked, as no images do"),
        ([("split.csv", b"stem,split")], "has no PNG, JPEG or TIFF image"),
        ([], "has no PNG, JPEG or TIFF image"),
    ],
)
def test_what_exceeds_the_limits_is_refused(tmp_path, place, entries, sentence):
    limits = LIMITS if "fold" not in sentence else ArchiveLimits(ratio_from=20_000, max_ratio=20)
    with pytest.raises(UserError, match=sentence):
        extract_archive(archive(tmp_path / "set.zip", entries), place / "set", limits)
    assert list(place.iterdir()) == []


def test_a_bomb_is_refused_by_the_usual_limits_before_it_goes_off(tmp_path, place):
    """30 files of 10 MB of zeros each: 300 MB from less than half a megabyte."""
    zeros = png() + bytes(10 * 2**20)
    path = archive(tmp_path / "bomb.zip", [(f"images/{number}.png", zeros) for number in range(30)])
    assert path.stat().st_size < 2**19
    with pytest.raises(UserError, match=r"grows [\d,]+-fold"):
        extract_archive(path, place / "set")
    assert list(place.iterdir()) == []


def test_a_bomb_whose_entries_share_their_bytes_is_refused(tmp_path, place):
    """Many entries of the table of contents point at one compressed file, so that packed sizes add up to look sound."""
    path = archive(tmp_path / "one.zip", [("a.png", png() + np.random.default_rng(0).bytes(100_000))])
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    entry = content[start : content.index(b"PK\5\6")]
    table = b"".join(entry.replace(b"a.png", f"{number:05}"[-1:].encode() + b".png") for number in range(10))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10, 10, len(table), start, 0)
    path.write_bytes(content[:start] + table + end)
    with pytest.raises(UserError, match="is no ZIP file or is broken"):
        extract_archive(path, place / "set")
    with pytest.raises(UserError, match="grows 10-fold"):
        extract_archive(path, place / "set", ArchiveLimits(max_ratio=5, ratio_from=0))
    assert list(place.iterdir()) == []


def test_sizes_that_lie_are_refused(tmp_path, place):
    """The table of contents says 100 bytes where a megabyte comes."""
    path = archive(tmp_path / "set.zip", [("a.png", png() + bytes(2**20))])
    content = bytearray(path.read_bytes())
    size = struct.pack("<L", len(png()) + 2**20)
    for _ in range(content.count(size)):
        content[content.index(size) : content.index(size) + 4] = struct.pack("<L", 100)
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no ZIP file or is broken"):
        extract_archive(path, place / "set")
    assert list(place.iterdir()) == []


def test_broken_encrypted_and_unusual_archives_are_refused(tmp_path, place):
    path = archive(tmp_path / "set.zip", pairs())
    content = path.read_bytes()
    spoilt = bytearray(content)
    spoilt[60:80] = bytes(20)
    cases = {
        b"": "is no ZIP file",
        b"not an archive": "is no ZIP file",
        content[: len(content) // 2]: "is no ZIP file",
        bytes(spoilt): "is no ZIP file or is broken",
        content.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"): "is encrypted",
    }
    for number, (broken, sentence) in enumerate(cases.items()):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=sentence):
            extract_archive(path, place / f"set{number}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("images/a.png", png())
    with pytest.raises(UserError, match="unusual compression"):
        extract_archive(path, place / "set")
    with pytest.raises(UserError, match="There is no archive"):
        extract_archive(tmp_path / "nowhere.zip", place / "set")
    assert list(place.iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path, place):
    path = archive(tmp_path / "set.zip", pairs())
    extract_archive(path, place / "set")
    with pytest.raises(UserError, match="something called set already"):
        extract_archive(path, place / "set")


def test_an_interruption_leaves_nothing(tmp_path, place, monkeypatch):
    path = archive(tmp_path / "set.zip", pairs())
    opened = zipfile.ZipFile.open

    def fails_at_the_third(self, name, *arguments, **options):
        if getattr(name, "filename", "") == "images/1.png":
            raise KeyboardInterrupt
        return opened(self, name, *arguments, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        extract_archive(path, place / "set")
    assert list(place.iterdir()) == []
