"""Receptive fields that are known already, in memory or on disk, and windows that may be used with them."""

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ..segmenter import Segmenter
from .files import StoredField, delete_field, read_field, write_field
from .support import ReceptiveField, structural_support
from .window_proof import proven_windows
from .windows import Windows


@dataclass(eq=False)
class KnownWindows:
    """What is known about a network for images of one size.

    Attributes:
        field: The structural receptive field.
        windows: The windows; None where the whole image is to be used.
        confirmed: Whether the windows were compared with the whole image in this process. Those from disk are not:
            the first gradients are to be computed both ways.
    """

    field: ReceptiveField
    windows: Windows | None
    confirmed: bool


_known: WeakKeyDictionary[Segmenter, dict[tuple[int, int], KnownWindows]] = WeakKeyDictionary()
_learning = threading.Lock()


def known_field(segmenter: Segmenter, size: tuple[int, int]) -> ReceptiveField | None:
    """The field for images of `size` (height, width) if it is in memory or on disk; nothing is probed for it."""
    known = known_windows(segmenter, size)
    if known is None:
        stored = read_field(segmenter.weights_hash, size)
        if stored is None:
            return None
        windows = Windows(stored.field, segmenter.canvas(*size), stored.alignment) if stored.alignment else None
        known = _of(segmenter).setdefault(size, KnownWindows(stored.field, windows, confirmed=False))
    return known.field


def learn_field(segmenter: Segmenter, size: tuple[int, int]) -> ReceptiveField:
    """The field for images of `size` (height, width), probed if it is not known, and kept in memory and on disk.

    Probing takes seconds: call it in the background. From then on `gradient` and `influence` run on windows where
    these were proven to give what the whole image gives.

    Raises:
        UserError: A size that the network cannot take.
    """
    with _learning:
        known = known_field(segmenter, size)
        if known is not None:
            return known
        field = structural_support(segmenter, size)
        windows = proven_windows(segmenter, field)
        _of(segmenter)[size] = KnownWindows(field, windows, confirmed=True)
        write_field(segmenter.weights_hash, StoredField(field, 0 if windows is None else windows.alignment))
    return field


def known_windows(segmenter: Segmenter, size: tuple[int, int]) -> KnownWindows | None:
    """What is in memory, at no cost."""
    return _known.get(segmenter, {}).get(size)


def distrust(segmenter: Segmenter, size: tuple[int, int]) -> None:
    """Use the whole image from now on. What came from disk is deleted, so that it can be learned anew."""
    known = known_windows(segmenter, size)
    if known is not None and not known.confirmed:
        delete_field(segmenter.weights_hash, size)
        _of(segmenter).pop(size, None)
    elif known is not None:
        known.windows = None


def _of(segmenter: Segmenter) -> dict[tuple[int, int], KnownWindows]:
    return _known.setdefault(segmenter, {})
