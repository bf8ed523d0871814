"""Data sets that a browser uploaded, on disk: whole or not there at all, bounded, forgotten a day after their last use.

Each lies in a folder of its own beside the browser's other files. A data set is unpacked into a hidden folder, which
takes its name only when all is there, so that neither a crash nor another session ever shows half of one.
"""

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
import time
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from core.data.archives import ArchiveLimits, extract_archive
from core.data.browsing import list_images
from core.errors import UserError
from core.io.files import write_atomically
from widgets.shared.kept_files import make_private, sets_folder_of

MAX_SETS = 12
"""Data sets of one browser."""
MAX_SET_BYTES = 2 * 2**30
"""Sum of all of them, unpacked."""
MAX_SET_FILES = 10_000
"""Files of one of them."""
MAX_NAME = 60
_ABOUT, _LOCK, _CONTENT = "set.json", "lock", "content"
_PARTIAL, _REMOVED = ".partial-", ".removed-"


@dataclass(frozen=True)
class KeptDataSet:
    """A data set that was uploaded.

    Attributes:
        name: Name on screen, the only one of its kind.
        folder: The data set's folder.
        size: Bytes of its files.
        place: The folder that is deleted with it.
        kept: When it was kept, in nanoseconds.
    """

    name: str
    folder: Path
    size: int
    place: Path
    kept: int


class KeptDataSets:
    """The data sets of one browser. Several processes and threads may write at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sets(self) -> dict[str, KeptDataSet]:
        """The data sets by name, the newest first; marks the folder as used."""
        if not self._folder.is_dir():
            return {}
        os.utime(self._folder)
        found = [data_set for place in self._folder.iterdir() if (data_set := _read(place)) is not None]
        return {data_set.name: data_set for data_set in sorted(found, key=lambda one: -one.kept)}

    def keep(self, name: str, archive: BinaryIO, taken: Collection[str] = ()) -> str:
        """Unpack a ZIP archive of a data set, and keep it as the newest.

        Args:
            name: Name on screen, such as the archive's without its suffix; made unique by a number.
            archive: The archive, open.
            taken: Names that it must not have.

        Returns:
            Its name on screen.

        Raises:
            UserError: As for `extract_archive`, an archive without a data set, too many data sets or bytes, or a disk
                that does not take it.
        """
        with self._telling_what_fails(), self._partial() as partial:
            limits = ArchiveLimits(max_files=MAX_SET_FILES, max_bytes=self._room())
            root = extract_archive(archive, partial / _CONTENT, limits)
            root = _data_set_in(root)
            size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
            with FileLock(self._folder / _LOCK):
                self._room(size)  # another session may have kept one meanwhile
                unique = free_name(_clean(name), {*self.sets(), *taken})
                about = {"root": root.relative_to(partial).as_posix(), "size": size, "kept": time.time_ns()}
                _write(partial, about | {"name": unique})
                partial.rename(self._folder / secrets.token_hex(8))
            return unique

    def rename(self, name: str, new: str, taken: Collection[str] = ()) -> str:
        """Give a data set another name; the name that it has now, with a number where it was taken.

        Raises:
            UserError: It is no longer there, or the name is empty.
        """
        _known(self.sets(), name)
        with self._telling_what_fails(), FileLock(self._folder / _LOCK):
            known = self.sets()
            data_set = _known(known, name)
            if _clean(new) == name:
                return name
            unique = free_name(_clean(new), {*known, *taken})
            about = json.loads((data_set.place / _ABOUT).read_bytes())
            _write(data_set.place, about | {"name": unique})
            return unique

    def remove(self, name: str) -> None:
        """Delete a data set, if it is still there."""
        if not self._folder.is_dir():
            return
        with self._telling_what_fails(), FileLock(self._folder / _LOCK):
            data_set = self.sets().get(name)
            if data_set is not None:
                removed = self._folder / f"{_REMOVED}{secrets.token_hex(8)}"
                data_set.place.rename(removed)  # at once, or others would see a part of it
                shutil.rmtree(removed, ignore_errors=True)

    def _room(self, size: int = 1) -> int:
        """The bytes that one more data set may have.

        Raises:
            UserError: There are too many, or fewer bytes than `size`.
        """
        known = self.sets()
        if len(known) >= MAX_SETS:
            raise UserError(f"{len(known)} uploaded data sets are kept already, which is the most; delete one first.")
        room = MAX_SET_BYTES - sum(data_set.size for data_set in known.values())
        if room < size:
            raise UserError(
                f"Your uploaded data sets may have {MAX_SET_BYTES / 2**30:g} GB together, of which "
                f"{max(0, room) / 2**20:,.0f} MB are left; delete one first."
            )
        return room

    @contextmanager
    def _partial(self) -> Iterator[Path]:
        """A hidden folder to unpack into; what is left in it is deleted, also by others after a crash."""
        make_private(self._folder.parent)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        partial = self._folder / f"{_PARTIAL}{secrets.token_hex(8)}"
        # Its lock lies beside it: a file that is open inside would keep some systems from renaming the folder.
        in_use = FileLock(_lock_of(partial))
        with FileLock(self._folder / _LOCK):
            self._remove_left_behind()
            in_use.acquire()
            partial.mkdir(mode=0o700)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            in_use.release()
            _lock_of(partial).unlink(missing_ok=True)

    def _remove_left_behind(self) -> None:
        """Delete what sessions that ended in the middle have left; called with the lock held."""
        for place in self._folder.glob(f"{_REMOVED}*"):
            shutil.rmtree(place, ignore_errors=True)
        for place in self._folder.glob(f"{_PARTIAL}*"):
            if place.suffix or not place.is_dir():
                continue
            try:
                with FileLock(_lock_of(place), timeout=0):
                    shutil.rmtree(place, ignore_errors=True)
            except Timeout:  # somebody unpacks into it now
                continue
            _lock_of(place).unlink(missing_ok=True)

    @contextmanager
    def _telling_what_fails(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = " Free some space there." if error.errno == errno.ENOSPC else ""
            why = f"Data sets cannot be kept in {self._folder.parent} ({error.strerror or error}).{full}"
            raise UserError(why) from error


def kept_data_sets_of(token: str) -> KeptDataSets:
    """The data sets of the browser that has this secret."""
    return KeptDataSets(sets_folder_of(token))


@contextmanager
def packed(files: Iterable[tuple[str, BinaryIO]]) -> Iterator[BinaryIO]:
    """An archive of the files of an uploaded folder, by their names in it, so that one set of checks holds for both."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in files:
                content.seek(0)
                with archive.open(name.replace("\\", "/"), "w", force_zip64=True) as entry:
                    shutil.copyfileobj(content, entry)
        file.seek(0)
        yield file


def _data_set_in(root: Path) -> Path:
    """The folder of the data set in what was unpacked: that folder itself, or the only one in it that holds one.

    Raises:
        UserError: There is none.
    """
    for place in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        try:
            list_images(place)
        except UserError:
            continue
        return place
    raise UserError(
        "The upload holds no data set: it needs images/ beside labels/ or masks/, or train/, val/ and test/ of these."
    )


def _read(place: Path) -> KeptDataSet | None:
    """The data set in a folder; None where there is none, as in what is just being unpacked or deleted."""
    if place.name.startswith("."):
        return None
    try:
        about = json.loads((place / _ABOUT).read_bytes())
        folder = place / about["root"]
        found = KeptDataSet(str(about["name"]), folder, int(about["size"]), place, int(about["kept"]))
        return found if folder.is_dir() else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(place: Path, about: dict[str, object]) -> None:
    write_atomically(place / _ABOUT, json.dumps(about).encode())


def _known(known: dict[str, KeptDataSet], name: str) -> KeptDataSet:
    if name not in known:
        raise UserError(f"The data set {name} is no longer here; upload it again.")
    return known[name]


def _lock_of(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.lock")


def _clean(name: str) -> str:
    """A name for the screen and for the names of the images, which begin with it."""
    found = " ".join(re.sub(r"[\x00-\x1f\x7f/\\]", " ", name).split())[:MAX_NAME].strip()
    if not found:
        raise UserError("A data set needs a name; type one.")
    return found


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with a number where it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found
