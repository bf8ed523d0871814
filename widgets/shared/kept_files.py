"""Files that a browser uploaded, on disk: bounded in number and bytes, and forgotten a day after their last use."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from core.errors import UserError
from core.io.files import write_atomically

Kind = Literal["image", "truth", "network", "baseline"]

VARIABLE = "WHYPIXEL_FILES"
"""The environment variable that names another folder."""
MAX_FILES: dict[Kind, int] = {"image": 24, "truth": 24, "network": 6, "baseline": 1}
MAX_FILE_MB = 500
"""Largest file that is taken, in MiB; the server's own limit in `.streamlit/config.toml` is the same."""
MAX_BYTES = 2 * 2**30
"""Sum of all files of one browser."""
SHARED_VARIABLE = "WHYPIXEL_SHARED"
"""The environment variable that, set to 1, lets all browsers of a server have one folder."""
EXPIRY = 24 * 3600
"""Seconds after the last use."""
_PREFIX, _OF_ALL = "browser-", "shared"
_LONGEST_NAME = 100
_INDEX = "index.json"
_LOCK = "lock"
_TELLING_SUFFIXES = (".safetensors", ".onnx")
"""Those by which a network is read."""


@dataclass(frozen=True)
class KeptFile:
    """A file in the index.

    Attributes:
        kind: What it is.
        name: Name on screen, the only one of its kind; for a ground truth, the name of its image.
        hash: SHA-256 of the content, in hexadecimal digits.
        size: Number of bytes.
        details: What else is known about it, as plain JSON values.
    """

    kind: Kind
    name: str
    hash: str
    size: int
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        texts = isinstance(self.name, str) and re.fullmatch("[0-9a-f]{64}", self.hash)
        if not texts or self.kind not in MAX_FILES or type(self.size) is not int or type(self.details) is not dict:
            raise ValueError("This is no entry of the index.")

    @property
    def title(self) -> str:
        """The name of the file that was uploaded."""
        return str(self.details.get("file", self.name))


class KeptFiles:
    """The files of one browser, in a folder that only this user can read.

    Files are named by the hash of their content, and listed in an index, the oldest first. Several processes and
    threads may write at the same time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, file: KeptFile) -> Path:
        """Where its content is."""
        suffix = Path(file.title).suffix.lower()
        return self._folder / f"{file.hash}{suffix if suffix in _TELLING_SUFFIXES else ''}"

    def files(self, kind: Kind | None = None) -> dict[str, KeptFile]:
        """The files of one kind by name, or all by kind and name, the oldest first; marks the folder as used."""
        if self._folder.is_dir():
            os.utime(self._folder)
        found = [file for file in self._read()[0] if self._is_whole(file)]
        if kind is None:
            return {f"{file.kind}/{file.name}": file for file in found}
        return {file.name: file for file in found if file.kind == kind}

    def forget_lost(self) -> str:
        """Forget files that are gone from the disk; a sentence about them, empty where all are there."""
        files, is_damaged = self._read()
        lost = [file.title for file in files if not self._is_whole(file)]
        if not is_damaged and not lost:
            return ""
        with self._changing():
            pass  # it starts from what is there
        return "The list of your files was damaged; upload them again." if is_damaged else _gone(lost)

    def keep(
        self, kind: Kind, name: str, content: bytes, *, replaces: bool = False, **details: Any
    ) -> tuple[str, list[str]]:
        """Keep a file as the newest.

        A file with the same content keeps its name and its details; another of the same name gets a number, unless it
        `replaces` the former one.

        Returns:
            Its name on screen, and the names of the older files that were removed to make room for it.

        Raises:
            UserError: It cannot be written.
        """
        file = KeptFile(kind, name, hashlib.sha256(content).hexdigest(), len(content), details)
        with self._changing() as files:
            same_kind = {other.name: other for other in files if other.kind == kind}
            if not replaces:
                file = replace(file, name=_free_name(file, same_kind))
            former = same_kind.get(file.name)
            if former is not None:
                files.remove(former)
                if former.hash == file.hash:
                    file = replace(file, details=former.details | details)
            if not self._is_whole(file):
                write_atomically(self.path(file), content)
            files.append(file)
            return file.name, _drop_oldest(files)

    def describe(self, kind: Kind, name: str, **details: Any) -> None:
        """Change what is known about a file, if it is still there."""
        with self._changing() as files:
            for index, file in enumerate(files):
                if (file.kind, file.name) == (kind, name):
                    files[index] = replace(file, details=file.details | details)

    def rename(self, kind: Kind, name: str, new: str) -> None:
        """Call a file otherwise on screen.

        Raises:
            UserError: A name that cannot be shown or is taken, or a file that is no longer here.
        """
        new = new.strip()
        if not new or not new.isprintable() or len(new) > _LONGEST_NAME:
            raise UserError(f"A file needs a name of 1 to {_LONGEST_NAME} characters.")
        with self._changing() as files:
            names = [file.name for file in files if file.kind == kind]
            if name not in names:
                raise UserError(_gone([name]))
            if new in names and new != name:
                raise UserError(f"Another one is called {new} already; choose another name.")
            for index, file in enumerate(files):
                if (file.kind, file.name) == (kind, name):  # the file's own name still says of what kind it is
                    files[index] = replace(file, name=new, details=file.details | {"file": file.title})

    def remove(self, kind: Kind, name: str) -> None:
        """Remove a file, if it is still there; an image takes its ground truth along."""
        with self._changing() as files:
            files[:] = [file for file in files if (file.kind, file.name) != (kind, name)]
            _drop_truths_alone(files)

    @contextmanager
    def _changing(self) -> Iterator[list[KeptFile]]:
        """The files that are there, to be changed: the index follows, and what it no longer lists is deleted."""
        try:
            make_private(self._folder.parent)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with FileLock(self._folder / _LOCK):
                files = [file for file in self._read()[0] if self._is_whole(file)]
                yield files
                index = json.dumps([asdict(file) for file in files], indent=1)
                write_atomically(self._folder / _INDEX, index.encode())
                kept = {_INDEX, _LOCK, *(self.path(file).name for file in files)}
                for path in self._folder.iterdir():
                    if path.name not in kept:
                        path.unlink(missing_ok=True)
        except OSError as error:
            full = " Free some space there." if error.errno == errno.ENOSPC else ""
            raise UserError(f"Your files cannot be kept in {self._folder.parent} ({error.strerror}).{full}") from error

    def _read(self) -> tuple[list[KeptFile], bool]:
        """What the index lists, and whether it is damaged."""
        try:
            return [KeptFile(**entry) for entry in json.loads((self._folder / _INDEX).read_bytes())], False
        except FileNotFoundError:
            return [], False
        except (OSError, ValueError, TypeError, RecursionError):
            return [], True

    def _is_whole(self, file: KeptFile) -> bool:
        try:
            return self.path(file).stat().st_size == file.size
        except OSError:
            return False


def folder_of(token: str) -> Path:
    """The folder of the browser that has this secret, which its name does not tell; or that of all, if they share."""
    own = os.environ.get(VARIABLE)
    root = Path(own) if own else Path(tempfile.gettempdir()) / f"whypixel-{_user()}"
    return root / f"{_PREFIX}{_OF_ALL if is_shared() else hashlib.sha256(token.encode()).hexdigest()[:32]}"


def sets_folder_of(token: str) -> Path:
    """The folder of that browser's data sets."""
    beside = folder_of(token)
    return beside.with_name(f"{beside.name}-sets")


def is_shared() -> bool:
    """Whether the server is configured so that everyone sees what anyone uploads."""
    return os.environ.get(SHARED_VARIABLE, "") not in ("", "0")


def kept_in_words() -> str:
    """For whom uploads are kept, and how long."""
    whom = "everyone who uses this server" if is_shared() else "this browser"
    return f"Kept for {whom} until {EXPIRY // 3600} hours after the last use"


def remove_expired(root: Path, in_use: Iterable[Path] = ()) -> None:
    """Delete the folders that no browser has used for a day, but those with something in them that is in use."""
    used = [path.resolve() for path in in_use]
    for folder in root.glob(f"{_PREFIX}*"):
        if any(path.is_relative_to(folder.resolve()) for path in used):
            continue
        if time.time() - folder.stat().st_mtime > EXPIRY:
            shutil.rmtree(folder, ignore_errors=True)


def size_in_words(size: int) -> str:
    """A number of bytes, e.g. "64 KB" or "1.3 MB"."""
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{max(1, round(size / 2**10))} KB"


def _gone(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} no longer here; upload again."


def _free_name(file: KeptFile, taken: dict[str, KeptFile]) -> str:
    stem, suffix = Path(file.name).stem, Path(file.name).suffix
    name, number = file.name, 1
    while name in taken and taken[name].hash != file.hash:
        number += 1
        name = f"{stem} ({number}){suffix}"
    return name


def _drop_oldest(files: list[KeptFile]) -> list[str]:
    """Remove the oldest files until the rest keeps within the bounds, never the newest; their names."""
    newest, dropped = files[-1], []
    for file in files[:-1]:
        of_kind = sum(other.kind == file.kind for other in files)
        is_beside = (file.kind, file.name) == ("image", newest.name) and newest.kind == "truth"
        if not is_beside and (of_kind > MAX_FILES[file.kind] or sum(other.size for other in files) > MAX_BYTES):
            files.remove(file)
            dropped.append(file.title)
    _drop_truths_alone(files)
    return dropped


def _drop_truths_alone(files: list[KeptFile]) -> None:
    images = {file.name for file in files if file.kind == "image"}
    files[:] = [file for file in files if file.kind != "truth" or file.name in images]


def make_private(root: Path) -> None:
    """Make the folder of all browsers; in a folder for all users, somebody else may have made it first."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and not os.environ.get(VARIABLE) and root.lstat().st_uid != os.getuid():
        raise PermissionError(errno.EACCES, f"it belongs to another user; name your own in {VARIABLE}")


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"
