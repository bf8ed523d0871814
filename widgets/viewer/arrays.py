"""Arrays and pictures for the browser, as files that it fetches once."""

import weakref
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

import numpy as np
from PIL import Image as PillowImage
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.display.colours import intensity_rgb, png_bytes

LARGEST_SIDE = 4096
"""Largest side of a picture: a canvas of more pixels fails in some browsers. Larger ones are averaged for display."""
_MOST_BYTES = 128 * 2**20
_KINDS = {"u1": np.uint8, "u2": np.uint16, "f4": np.float32}

_places: ContextVar[Iterator[str]] = ContextVar("places")
_encoded: OrderedDict[tuple[int, str], tuple[weakref.ref, bytes]] = OrderedDict()


@contextmanager
def files_of(key: str) -> Iterator[None]:
    """The files made inside are those of the viewer `key`: its next ones in this browser tab take their places.

    Streamlit lets go of a file whose place is taken. A fragment's other files would stay until the whole page runs.
    """
    before = _places.set(f"viewer-{key}-{number}" for number in count())
    try:
        yield
    finally:
        _places.reset(before)


def array_file(values: np.ndarray) -> dict[str, object]:
    """The address, the number type and the shape of an array, which is sent compressed and not as text.

    Labels and masks are sent as integers of 8 or 16 bits, everything else as float32.
    """
    kind = "f4"
    if values.dtype.kind in "bui":
        kind = "u1" if not values.size or values.max() < 256 else "u2"
    content = _once(values, kind, lambda: _compressed(values, kind))
    return {"url": _address(content, "application/octet-stream"), "kind": kind, "shape": list(values.shape)}


def picture_file(image: np.ndarray) -> str:
    """The address of a picture: an image (C, H, W) in [0, 1], or RGB as uint8 (H, W, 3)."""
    return _address(_once(image, "picture", lambda: _png(image)), "image/png")


def _compressed(values: np.ndarray, kind: str) -> bytes:
    return zlib.compress(np.ascontiguousarray(values, dtype=_KINDS[kind]).tobytes(), 1)


def _png(image: np.ndarray) -> bytes:
    rgb = image if image.dtype == np.uint8 else intensity_rgb(image)
    scale = LARGEST_SIDE / max(rgb.shape[:2])
    if scale < 1:
        size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
        rgb = np.asarray(PillowImage.fromarray(rgb).resize(size, PillowImage.Resampling.BOX))
    return png_bytes(rgb)


def _once(source: np.ndarray, kind: str, encode: Callable[[], bytes]) -> bytes:
    """The bytes of an array that is never changed in place, kept while it lives."""
    key = id(source), kind
    known = _encoded.get(key)
    if known is not None and known[0]() is source:
        _encoded.move_to_end(key)
        return known[1]
    content = encode()
    _encoded[key] = weakref.ref(source), content
    while sum(len(kept) for _, kept in _encoded.values()) > _MOST_BYTES and len(_encoded) > 1:
        _encoded.popitem(last=False)
    return content


def _address(content: bytes, media_type: str) -> str:
    if get_script_run_ctx() is None or not runtime.exists():
        return ""  # outside of a browser's page
    return runtime.get_instance().media_file_mgr.add(content, media_type, next(_places.get()))
