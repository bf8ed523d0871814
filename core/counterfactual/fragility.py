"""The fragility map: how small a change flips the label of each pixel."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ..attribution.attribution import image_hash
from ..compute.progress import Progress
from ..display.colours import magnitude_scale, png_bytes
from ..errors import UserError
from ..io.files import npy_bytes, write_atomically
from ..io.tables import json_bytes
from ..segmenter import Image, Segmenter
from .edit import as_array
from .flip import Measure, distances

DEFAULT_EVERY = 16
DEFAULT_STEPS = 40
NOT_DONE = -1.0
"""In place of a distance that is not computed yet."""
SCHEMA_VERSION = 1
_VALUES, _PICTURE, _MANIFEST, _LOCK = "distances.npy", "distances.png", "manifest.json", "lock"
_GREY = 128


@dataclass(frozen=True, eq=False)
class FragilityMap:
    """The size of the smallest change found that flips the label of every n-th pixel.

    Sizes are upper bounds of the true distances: a smaller change may exist.

    Attributes:
        distances: Float32 (h, w), of the pixels (offset + i·every, offset + j·every): the L2 norm or the largest value
            of the change, in units of intensity; NaN where none was found, -1 where it is not computed yet.
        every: Step between the pixels.
        image_size: Height and width of the image.
        measure: "l2" or "linf".
        about: What it was computed from, as plain values.
    """

    distances: np.ndarray
    every: int
    image_size: tuple[int, int]
    measure: Measure
    about: dict[str, Any]

    @property
    def offset(self) -> int:
        """Row and column of the first pixel: the middle of the first square."""
        return self.every // 2

    @property
    def done(self) -> float:
        """Share of the pixels that are computed."""
        return float((self.distances != NOT_DONE).mean())

    @property
    def found(self) -> np.ndarray:
        """The distances that were found, float32 (n,)."""
        return self.distances[np.isfinite(self.distances) & (self.distances != NOT_DONE)]

    def shown(self) -> np.ndarray:
        """The distances with NaN where there is none."""
        return np.where(self.distances == NOT_DONE, np.float32(np.nan), self.distances)

    def pixel(self, row: int, column: int) -> tuple[int, int]:
        """The pixel of the image that the entry (row, column) is of."""
        return self.offset + row * self.every, self.offset + column * self.every

    def manifest(self) -> dict[str, Any]:
        """What it is of, and a summary, as plain values for JSON."""
        found = self.found
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "fragility map",
            **self.about,
            "every": self.every,
            "measure": self.measure,
            "image_size": list(self.image_size),
            "shape": list(self.distances.shape),
            "done": self.done,
            "found": len(found),
            "median": float(np.median(found)) if len(found) else None,
            "smallest": float(found.min()) if len(found) else None,
        }

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name."""
        return {_VALUES: npy_bytes(self.distances), _PICTURE: self._picture(), _MANIFEST: json_bytes(self.manifest())}

    def _picture(self) -> bytes:
        """The distances in colours, grey where there is none."""
        shown = self.shown()
        known = np.isfinite(shown)
        limit = float(shown[known].max()) if known.any() else 1.0
        colours = magnitude_scale(limit or 1.0).rgb(np.where(known, shown, 0))
        return png_bytes(np.where(known[..., None], colours, np.uint8(_GREY)))

    def save(self, folder: str | Path) -> Path:
        """Write the distances, a picture and the manifest into `folder`, the manifest last."""
        folder = Path(folder)
        for name, content in self.files().items():
            write_atomically(folder / name, content)
        return folder


def fragility_map(
    segmenter: Segmenter,
    image: Image,
    every: int = DEFAULT_EVERY,
    measure: Measure = "l2",
    *,
    steps: int = DEFAULT_STEPS,
    out: str | Path | None = None,
    progress: Progress | None = None,
    show: Callable[[FragilityMap], object] | None = None,
) -> FragilityMap:
    """How small a change flips the label of every n-th pixel, see `core.counterfactual.flip.distances`.

    Args:
        segmenter: The network.
        image: (C, H, W) in [0, 1].
        every: Step between the pixels, in rows and columns.
        measure: "l2" or "linf".
        steps: Most steps of each search.
        out: A folder that each finished row of pixels is kept in. Run again, it goes on where it was stopped, and ends
            with the same values as if it had not been.
        progress: Counts pixels; what it raises stops the run.
        show: Called with the map so far after each row.

    Raises:
        UserError: The arguments do not fit, the folder holds a map of something else, or another run writes there.
    """
    values = as_array(image)
    height, width = values.shape[1:]
    if not 1 <= every <= min(height, width):
        raise UserError(f"Every n-th pixel is taken, n from 1 to {min(height, width)}; {every} was given.")
    if steps < 1:
        raise UserError(f"The search takes at least one step; {steps} was given.")
    distances(segmenter, values, [], measure)  # what does not fit is told before a folder is made
    shape = -(-(height - every // 2) // every), -(-(width - every // 2) // every)
    about = {"weights_sha256": segmenter.weights_hash, "image_sha256": image_hash(values), "steps": steps}
    start = np.full(shape, NOT_DONE, np.float32)
    found = FragilityMap(start, every, (height, width), measure, about)
    if out is None:
        return _computed(segmenter, values, found, None, progress, show)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _LOCK, timeout=0):
            _resume(found, folder)
            return _computed(segmenter, values, found, folder, progress, show)
    except Timeout as error:
        raise UserError(f"Another run writes to {folder}; wait for it, or choose another folder.") from error


def open_fragility_map(folder: str | Path) -> FragilityMap:
    """The map in a folder that `fragility_map` or `save` wrote, finished or not.

    Raises:
        UserError: There is none, or its files are damaged.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        values = np.load(folder / _VALUES, allow_pickle=False)
        if (
            manifest["kind"] != "fragility map"
            or values.dtype != np.float32
            or values.shape != tuple(manifest["shape"])
        ):
            raise ValueError("no map")
        about = {name: manifest[name] for name in ("weights_sha256", "image_sha256", "steps")}
        height, width = manifest["image_size"]
        return FragilityMap(values, int(manifest["every"]), (int(height), int(width)), manifest["measure"], about)
    except FileNotFoundError as error:
        raise UserError(f"There is no fragility map in {folder}.") from error
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise UserError(f"The fragility map in {folder} is damaged; delete the folder and compute it again.") from error


def _resume(found: FragilityMap, folder: Path) -> None:
    """Take over what the folder holds of the same map, or begin it there."""
    if not (folder / _MANIFEST).exists():
        found.save(folder)
        return
    known = open_fragility_map(folder)
    same = ("about", "every", "measure", "image_size")
    if (
        any(getattr(known, name) != getattr(found, name) for name in same)
        or known.distances.shape != found.distances.shape
    ):
        raise UserError(
            f"The folder {folder} holds a fragility map of another network, image or setting; choose another folder."
        )
    found.distances[...] = known.distances


def _computed(
    segmenter: Segmenter,
    values: np.ndarray,
    found: FragilityMap,
    folder: Path | None,
    progress: Progress | None,
    show: Callable[[FragilityMap], object] | None,
) -> FragilityMap:
    total, across = found.distances.size, found.distances.shape[1]
    for row in range(len(found.distances)):
        if (found.distances[row] != NOT_DONE).all():
            continue
        pixels = [found.pixel(row, column) for column in range(across)]

        def report(done: int, _total: int, row: int = row) -> None:
            if progress is not None:
                progress(row * across + done, total)

        found.distances[row] = distances(segmenter, values, pixels, found.measure, found.about["steps"], report)
        if folder is not None:
            found.save(folder)
        if show is not None:
            show(FragilityMap(found.distances.copy(), found.every, found.image_size, found.measure, found.about))
    return found
