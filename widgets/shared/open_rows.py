"""The rows of Jacobians in the folder of stores."""

from collections.abc import Callable, Sequence
from pathlib import Path

from core.attribution.windowed import MapWindow
from core.errors import UserError
from core.jacobian import Jacobian
from widgets.shared.sidebar import Selection
from widgets.shared.stores import open_store


def open_rows(paths: Sequence[Path], selection: Selection) -> Callable[[int, int], MapWindow | None] | None:
    """Reads a row from the first of the stores that holds it exactly, of this class and score."""
    stores = [store for path in paths if (store := _opened(path, selection)) is not None]
    if not stores:
        return None

    def read(row: int, column: int) -> MapWindow | None:
        for store in stores:
            height, width = store.computed.shape
            if row < height and column < width and store.computed[row, column]:
                return MapWindow(*store.row_window(row, column))
        return None

    return read


def _opened(path: Path, selection: Selection) -> Jacobian | None:
    try:
        store = open_store(path, selection.segmenter)
    except UserError:  # damaged, or being written: then the rows are computed
        return None
    manifest = store.manifest
    same = manifest.score == selection.score
    exact = manifest.keep_rows and manifest.dtype == "float32" and not store.damage
    return store if same and exact and manifest.image_hash == selection.image.hash else None
