"""Data sets in ZIP archives from strangers: checked before anything is written, and written whole or not at all."""

import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..errors import UserError
from .images import SUFFIXES

_NOTES = (".csv", ".json", ".txt")
"""Palettes, splits and groups; other files than these and images are refused."""
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of PNG, JPEG and TIFF files; the content decides, not the suffix."""
_JUNK_FOLDERS = ("__MACOSX",)
_FORBIDDEN = frozenset('<>:"|?*') | {chr(code) for code in range(32)}
"""Characters that some system forbids in names or reads as a drive."""
_ENCRYPTED = 0x1
_DEEPEST, _LONGEST = 6, 200
_CHUNK = 1 << 20


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds of an archive; one that exceeds them is refused.

    Attributes:
        max_files: Number of entries.
        max_bytes: Bytes of all files together, unpacked.
        max_file_bytes: Bytes of one file, unpacked.
        max_note_bytes: Bytes of one CSV, JSON or text file, unpacked.
        max_ratio: Bytes of all files together, unpacked, per byte of the archive.
        ratio_from: Archives of up to so many unpacked bytes may have any ratio.
    """

    max_files: int = 20_000
    max_bytes: int = 4 * 2**30
    max_file_bytes: int = 512 * 2**20
    max_note_bytes: int = 2**20
    max_ratio: float = 200.0
    ratio_from: int = 16 * 2**20


def extract_archive(source: str | Path | BinaryIO, folder: str | Path, limits: ArchiveLimits | None = None) -> Path:
    """Unpack a ZIP archive of a data set into a new folder.

    All names and sizes are checked first, then sizes and contents again while unpacking, into a folder beside `folder`
    that only takes its name once all is there. Hidden files and those that macOS adds are left out.

    Args:
        source: The archive, a path or an open file.
        folder: The folder to make; it must not exist.
        limits: Bounds of the archive.

    Returns:
        The folder of the data set: `folder`, or the only folder in it where the archive wraps everything in one.

    Raises:
        UserError: No ZIP archive, one that is broken, encrypted, larger than the limits or compressed beyond them, that
            has names which lead out of the folder, links, two files of one name or files of other kinds, or a folder
            that exists already.
    """
    folder, limits = Path(folder), limits or ArchiveLimits()
    if folder.exists():
        raise UserError(f"There is something called {folder.name} already; remove it, or choose another name.")
    with _refusing_broken_archives(source) as archive:
        entries = _checked(archive, limits)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:50]}."))
        try:
            _unpack(archive, entries, partial, limits)
            partial.chmod(0o755)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    inside = list(folder.iterdir())
    wrapped = len(inside) == 1 and inside[0].is_dir() and any(path.is_dir() for path in inside[0].iterdir())
    return inside[0] if wrapped else folder


@contextmanager
def _refusing_broken_archives(source: str | Path | BinaryIO) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"There is no archive {source}.") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, UnicodeError, NotImplementedError) as error:
        raise UserError(f"The archive is no ZIP file or is broken ({error}); pack it again.") from error


def _checked(archive: zipfile.ZipFile, limits: ArchiveLimits) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The files to unpack by their place, after all that names and sizes can tell."""
    infos = archive.infolist()
    if len(infos) > limits.max_files:
        raise UserError(f"The archive has {len(infos):,} entries; at most {limits.max_files:,} are unpacked.")
    entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for info in infos:
        place, is_folder = _place(info)
        if is_folder or any(part.startswith(".") or part in _JUNK_FOLDERS for part in place.parts):
            continue
        key = unicodedata.normalize("NFC", str(place)).casefold()
        if key in seen:
            raise UserError(f"The archive has two files called {place}; remove one of them.")
        seen.add(key)
        if place.suffix.lower() not in (*SUFFIXES, *_NOTES):
            raise UserError(
                f"The archive holds {place}, which is no PNG, JPEG or TIFF image; leave out what is no image or mask."
            )
        most = limits.max_note_bytes if place.suffix.lower() in _NOTES else limits.max_file_bytes
        if info.file_size > most:
            raise UserError(
                f"The file {place} in the archive has {info.file_size / 2**20:,.0f} MB; at most {most / 2**20:,.0f} MB "
                "are unpacked."
            )
        entries[place] = info
    folders = {str(parent).casefold() for place in entries for parent in place.parents}
    if clash := next((place for place in entries if str(place).casefold() in folders), None):
        raise UserError(f"The archive has both a file and a folder called {clash}; rename one of them.")
    if not any(place.suffix.lower() in SUFFIXES for place in entries):
        raise UserError("The archive has no PNG, JPEG or TIFF image in it.")
    _check_total(archive, sum(info.file_size for info in entries.values()), limits)
    return entries


def _check_total(archive: zipfile.ZipFile, total: int, limits: ArchiveLimits) -> None:
    if total > limits.max_bytes:
        raise UserError(
            f"The archive has {total / 2**20:,.0f} MB when it is unpacked; at most "
            f"{limits.max_bytes / 2**20:,.0f} MB are."
        )
    assert archive.fp is not None  # noqa: S101 - it is open
    packed = archive.fp.seek(0, 2)
    if total > max(limits.ratio_from, limits.max_ratio * packed):
        raise UserError(
            f"The archive grows {total / packed:,.0f}-fold when it is unpacked, as no images do; at most "
            f"{limits.max_ratio:g}-fold is allowed."
        )


def _place(info: zipfile.ZipInfo) -> tuple[PurePosixPath, bool]:
    """Where an entry belongs in the folder, and whether it is a folder itself; refuses what leads out of it."""
    name = info.orig_filename.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not parts or any(_FORBIDDEN & {*part} for part in parts):
        raise UserError(
            f"The archive holds the name {info.orig_filename!r}, which is no path inside a folder; rename it."
        )
    if len(parts) > _DEEPEST or max(map(len, parts)) > _LONGEST or any(part[-1] in ". " for part in parts):
        raise UserError(
            f"The archive holds the name {name[:_LONGEST]!r}, which not every system can store; "
            "use shorter names and fewer folders."
        )
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"The archive holds {name}, which is a link or a device; pack the file itself.")
    if info.flag_bits & _ENCRYPTED:
        raise UserError("The archive is encrypted; pack it again without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"The archive holds {name} in an unusual compression; pack it again as a plain ZIP file.")
    return PurePosixPath(*parts), name.endswith("/") or kind == stat.S_IFDIR


def _unpack(
    archive: zipfile.ZipFile, entries: dict[PurePosixPath, zipfile.ZipInfo], folder: Path, limits: ArchiveLimits
) -> None:
    total = 0
    for place, info in entries.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as packed, path.open("xb") as file:
            first = packed.read(_CHUNK)
            _check_content(place, first)
            for chunk in chain([first], iter(lambda: packed.read(_CHUNK), b"")):
                total += len(chunk)
                if total > limits.max_bytes:
                    raise UserError("The archive unpacks to more bytes than it says; pack it again.")
                file.write(chunk)


def _check_content(place: PurePosixPath, first: bytes) -> None:
    """Check that the first bytes of a file are what its name says."""
    if place.suffix.lower() in _NOTES:
        try:
            is_right = "\0" not in first.decode()
        except UnicodeDecodeError:
            is_right = False
    else:
        is_right = first.startswith(_SIGNATURES)
    if not is_right:
        raise UserError(f"The file {place} in the archive is not what its name says; remove it.")
