"""`Edit`: a change of some pixels of one image, kept as a small file so that others see the same."""

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..attribution.attribution import image_hash
from ..display.colours import intensity_rgb, png_bytes
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically, zip_bytes
from ..io.tables import json_bytes
from ..segmenter import Image, image_tensor

SCHEMA_VERSION = 1
MOST_BYTES = 2**28
"""Of the values in an edit's file: an image of 4096×4096 pixels and 4 channels."""
_MOST_MANIFEST_BYTES = 2**20
_MANIFEST, _VALUES, _PICTURE = "manifest.json", "values.npy", "change.png"


@dataclass(frozen=True, eq=False)
class Edit:
    """What some pixels of one image become.

    Attributes:
        values: Float32 (C, h, w), the intensities of the box around all changed pixels; NaN where a pixel stays.
        top: Row of the image where the box begins.
        left: Column of the image where the box begins.
        image_size: (channels, height, width) of the image.
        image_hash: SHA-256 of the image, see `core.attribution.attribution.image_hash`.
        steps: What was done, one phrase each, for readers.
    """

    values: np.ndarray
    top: int
    left: int
    image_size: tuple[int, int, int]
    image_hash: str
    steps: tuple[str, ...] = ()

    @classmethod
    def between(cls, before: Image, after: Image, steps: Sequence[str] = ()) -> Self:
        """The edit that makes the image `after` out of `before`, both (C, H, W).

        Raises:
            UserError: Images of two sizes, or values that are not finite.
        """
        old, new = (as_array(image) for image in (before, after))
        if old.shape != new.shape:
            raise UserError(f"An edit keeps the size of the image: {old.shape} became {new.shape}.")
        if not np.isfinite(new).all():
            raise UserError("An edited image holds values that are not finite; an edit holds intensities.")
        changed = old != new
        rows, columns = (np.flatnonzero(changed.any(axis=axes)) for axes in ((0, 2), (0, 1)))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if len(rows) else (slice(0, 0),) * 2
        values = np.where(changed[(..., *box)], new[(..., *box)], np.float32(np.nan))
        channels, height, width = old.shape
        size = channels, height, width
        return cls(values, int(box[0].start), int(box[1].start), size, image_hash(old), tuple(steps))

    def apply(self, image: Image) -> np.ndarray:
        """The edited image, float32 (C, H, W); every pixel that is not edited keeps its value bit for bit.

        Raises:
            UserError: Another image than the one edited.
        """
        array = as_array(image)
        if array.shape != self.image_size:
            raise UserError(
                f"The edit was made of an image of {_in_words(self.image_size)}, this one has "
                f"{_in_words(array.shape)}; open the image that was edited."
            )
        if image_hash(array) != self.image_hash:
            raise UserError("The edit was made of another image of this size; open the image that was edited.")
        edited = array.copy()
        part = edited[(..., *self.box)]
        part[...] = np.where(np.isnan(self.values), part, self.values)
        return edited

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the box around all changed pixels."""
        height, width = self.values.shape[1:]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def mask(self) -> np.ndarray:
        """The changed pixels, bool (H, W)."""
        mask = np.zeros(self.image_size[1:], bool)
        mask[self.box] = ~np.isnan(self.values).all(axis=0)
        return mask

    def manifest(self) -> dict[str, Any]:
        """What the file says about the values, as plain values for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "edit",
            "image_sha256": self.image_hash,
            "image_size": list(self.image_size),
            "top": self.top,
            "left": self.left,
            "shape": list(self.values.shape),
            "pixels": int(self.mask.sum()),
            "steps": list(self.steps),
        }

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name: the values, a picture of them, and the manifest."""
        return {
            _VALUES: npy_bytes(self.values),
            _PICTURE: _picture(self.values),
            _MANIFEST: json_bytes(self.manifest()),
        }

    def save(self, path: str | Path) -> Path:
        """Write the edit to one file where `path` ends with .zip, else as three files into that folder."""
        path = Path(path)
        if path.suffix.lower() == ".zip":
            return write_atomically(path, self.file_bytes())
        for name, content in self.files().items():
            write_atomically(path / name, content)
        return path

    def file_bytes(self) -> bytes:
        """The edit as the bytes of one file, a ZIP archive of `files`."""
        return zip_bytes(self.files())

    @classmethod
    def load(cls, source: str | Path | bytes) -> Self:
        """The edit in a file or a folder that `save` wrote, or in the bytes of such a file.

        Raises:
            UserError: It is missing, damaged, or no edit.
        """
        if not isinstance(source, bytes) and Path(source).is_dir():
            folder = Path(source)
            files = {name: _bounded(folder / name, most) for name, most in _BOUNDS.items()}
        else:
            files = _unpacked(source if isinstance(source, bytes) else _bounded(Path(source), MOST_BYTES))
        try:
            return cls._from_files(files)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, EOFError) as error:
            if isinstance(error, UserError):
                raise
            raise _damaged() from error

    @classmethod
    def _from_files(cls, files: Mapping[str, bytes]) -> Self:
        manifest = json.loads(files[_MANIFEST])
        if not isinstance(manifest, dict) or manifest.get("kind") != "edit":
            raise UserError("The file is no edit of an image; choose one that was saved on the page What if.")
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise UserError("The edit was saved by another version of the program, whose files this one cannot read.")
        values = _values_of(files[_VALUES])
        size = tuple(_whole(length) for length in manifest["image_size"])
        top, left = _whole(manifest["top"]), _whole(manifest["left"])
        fits = (
            values.ndim == len(size) == 3
            and values.shape[0] == size[0]
            and top + values.shape[1] <= size[1]
            and left + values.shape[2] <= size[2]
            and not np.isinf(values).any()
        )
        if not fits:
            raise _damaged()
        steps = tuple(str(step) for step in manifest["steps"])
        return cls(values, top, left, (size[0], size[1], size[2]), str(manifest["image_sha256"]), steps)


_BOUNDS = {_MANIFEST: _MOST_MANIFEST_BYTES, _VALUES: MOST_BYTES}


def as_array(image: Image) -> np.ndarray:
    """One image (C, H, W) as float32 NumPy."""
    array = image_tensor(image).detach().cpu().numpy().astype(np.float32, copy=False)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim != 3:
        raise UserError(f"An image is (channels, height, width); this one has the shape {array.shape}.")
    return array


def _in_words(size: Sequence[int]) -> str:
    channels, height, width = size
    return f"{height}×{width} pixels and {channels} channel{'' if channels == 1 else 's'}"


def _picture(values: np.ndarray) -> bytes:
    """A PNG of the changed pixels, clear elsewhere; one clear pixel where nothing changed."""
    if not values.size:
        return png_bytes(np.zeros((1, 1, 4), np.uint8))
    colours = intensity_rgb(np.nan_to_num(values))
    opacity = np.where(np.isnan(values).all(axis=0), 0, 255).astype(np.uint8)
    return png_bytes(np.dstack((colours, opacity)))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _damaged()
    return value


def _damaged() -> UserError:
    return UserError("The file of the edit is damaged or cut off; save the edit again.")


def _values_of(content: bytes) -> np.ndarray:
    """The array of a .npy file of float32, whose header is not believed before the bytes are counted."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = header(file)
    if dtype != np.float32 or is_fortran or 4 * math.prod(shape) != len(content) - file.tell():
        raise _damaged()
    return np.frombuffer(content, np.float32, offset=file.tell()).reshape(shape)


def _bounded(path: Path, most: int) -> bytes:
    if not path.is_file():
        raise UserError(f"There is no edit {path}.")
    if path.stat().st_size > most:
        raise UserError(f"{path} is larger than an edit can be.")
    return path.read_bytes()


def _unpacked(content: bytes) -> dict[str, bytes]:
    """The two files that are read of an archive, bounded before they are unpacked."""
    files = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name, most in _BOUNDS.items():
                with archive.open(name) as file:
                    files[name] = file.read(most + 1)
                if len(files[name]) > most:
                    raise UserError("The file holds more than an edit can.")
    except UserError:
        raise
    except Exception as error:  # what a damaged archive raises is not told: zipfile, zlib, lzma, struct …
        raise UserError(
            "The file is no edit of an image, or it is damaged; choose one that was saved on the page What if."
        ) from error
    return files
