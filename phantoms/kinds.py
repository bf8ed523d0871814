"""The kinds of phantoms by name, with their classes, for whatever draws them by the number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

from .fundus import fundus_phantom
from .scenes import SCENE_CLASSES, scene_phantom
from .vessels import vessel_phantom

PhantomKind = Literal["vessels", "fundus", "scenes"]

PHANTOM_KINDS: tuple[PhantomKind, ...] = get_args(PhantomKind)


class LabelledImage(Protocol):
    """What every phantom has: image float32 (C, H, W) in [0, 1] and mask uint8 (H, W) of class indices."""

    @property
    def image(self) -> NDArray[np.float32]:
        """(C, H, W)."""

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(H, W)."""


@dataclass(frozen=True)
class _Kind:
    draw: Callable[[int], LabelledImage]
    class_names: tuple[str, ...]
    in_channels: int


_KINDS: dict[PhantomKind, _Kind] = {
    "vessels": _Kind(vessel_phantom, ("background", "vessel"), 1),
    "fundus": _Kind(fundus_phantom, ("background", "vessel"), 3),
    "scenes": _Kind(scene_phantom, SCENE_CLASSES, 3),
}


def draw_phantom(kind: PhantomKind, seed: int, channels: int | None = None) -> LabelledImage:
    """The phantom of a kind and a seed, in its own size.

    Args:
        kind: One of `PHANTOM_KINDS`.
        seed: Picks the image.
        channels: Of the image; by default one for vessels, and three for the others, which are always RGB.

    Raises:
        UserError: Another number of channels than three for an RGB phantom.
    """
    if kind == "vessels":
        return vessel_phantom(seed, channels=channels or 1)
    if channels not in (None, _KINDS[kind].in_channels):
        raise UserError(
            f"Phantoms of the kind {kind} have {_KINDS[kind].in_channels} channels and the images {channels}; train "
            "without phantoms, or with vessels."
        )
    return _KINDS[kind].draw(seed)


def phantom_classes(kind: PhantomKind) -> tuple[str, ...]:
    """The names of a kind's classes, in the order of the mask's indices."""
    return _KINDS[kind].class_names


def phantom_channels(kind: PhantomKind) -> int:
    """The channels that a kind's images have where nothing else is asked for."""
    return _KINDS[kind].in_channels
