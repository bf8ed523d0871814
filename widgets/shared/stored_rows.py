"""Rows that a Jacobian on disk holds already."""

from collections.abc import Callable

from core.attribution.windowed import MapWindow
from widgets.shared.sidebar import Selection
from widgets.shared.store_folder import store_folder


def stored_rows(selection: Selection) -> Callable[[int, int], MapWindow | None] | None:
    """Reads the rows of the selection's Jacobian where the folder of stores has one; None where it has none.

    What it returns gives None for a row that is not stored.
    """
    folder = store_folder()
    hashes = f"{selection.key[0][:8]}{selection.image.hash[:8]}"
    found = sorted(folder.glob(f"*_{selection.score.space}_*_{hashes}.zarr")) if folder.is_dir() else []
    if not found:
        return None
    from widgets.shared.open_rows import open_rows  # noqa: PLC0415 - Zarr, where there is a store

    return open_rows(found, selection)
