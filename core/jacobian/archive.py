"""Writing and reading a store as one .zip file."""

import shutil
import stat
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..display.words import bytes_in_words
from ..errors import UserError
from .disk_space import check_free_disk
from .store import JacobianStore

LARGEST_ARCHIVE = 20_000_000_000
"""Bytes that an archive may unpack to."""
_MOST_FILES = 500_000
_COPIED_AT_ONCE = 2**20


def store_bytes(path: str | Path) -> int:
    """Bytes on disk of a store."""
    return sum(entry.stat().st_size for entry in Path(path).rglob("*") if entry.is_file())


def write_archive(store: str | Path, file: str | Path | BinaryIO) -> None:
    """Write a store into a .zip file, without compressing it again."""
    store = Path(store)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in sorted(store.rglob("*")):
            if entry.is_file() and entry.suffix != ".partial":
                archive.write(entry, f"{store.name}/{entry.relative_to(store).as_posix()}")


def read_archive(file: str | Path | BinaryIO, store: str | Path) -> Path:
    """Unpack a .zip file of a store to the folder `store`, whole or not at all.

    Every entry must lie in one folder, the store; no entry may lead out of it, be anything but a regular file, occur
    twice, or make the whole larger than `LARGEST_ARCHIVE`.

    Raises:
        UserError: Not a .zip file, one that breaks these rules, one that holds no whole store, a full disk, or
            something that is at `store` already.
    """
    store = Path(store)
    if store.exists():
        raise UserError(f"{store} exists already; delete it first, or open it.")
    part = store.with_name(f"{store.name}.{uuid.uuid4().hex}.part")
    try:
        with zipfile.ZipFile(file) as archive:
            _unpack(archive, part)
        JacobianStore(part)
        part.rename(store)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise UserError(f"The file is not a whole .zip file ({error}); export the store again.") from error
    except UserError as error:
        raise UserError(str(error).replace(str(part), "The archive")) from error
    except OSError as error:
        raise UserError(f"The archive could not be unpacked to {store.parent}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return store


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    paths = [_inside(entry) for entry in entries]
    if not entries or len({path.parts[0] for path in paths}) != 1 or any(len(path.parts) < 2 for path in paths):
        raise UserError("The archive does not hold one store; zip the folder of a store as a whole.")
    if len(set(paths)) != len(paths):
        raise UserError("The archive holds a file twice; it was not unpacked.")
    total = sum(entry.file_size for entry in entries)
    if total > LARGEST_ARCHIVE or len(entries) > _MOST_FILES:
        raise UserError(
            f"The archive unpacks to {bytes_in_words(total)} in {len(entries):,} files; at most "
            f"{bytes_in_words(LARGEST_ARCHIVE)} in {_MOST_FILES:,} files are taken. Unpack it yourself and open the "
            "folder."
        )
    check_free_disk(folder, total)
    for entry, path in zip(entries, paths, strict=True):
        target = folder.joinpath(*path.parts[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as file:
            # zipfile reads no more than the size that the entry declares, so the total above is the most.
            shutil.copyfileobj(source, file, _COPIED_AT_ONCE)


def _inside(entry: zipfile.ZipInfo) -> PurePosixPath:
    path = PurePosixPath(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    leads_out = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
    if leads_out or kind == stat.S_IFLNK:
        raise UserError(f"The archive holds “{entry.filename}”, which leads out of its folder; it was not unpacked.")
    # Archives made without Unix modes have none.
    if kind not in {0, stat.S_IFREG}:
        raise UserError(f"The archive holds “{entry.filename}”, which is no regular file; it was not unpacked.")
    return path
