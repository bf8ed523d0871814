"""The result of every generator, and the registry of kinds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

BLACK_AND_WHITE = {"background": "#000000", "vessel": "#ffffff"}


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic image together with the truth it was drawn from.

    Attributes:
        image: Intensities in [0, 1], float32 of shape (C, H, W).
        mask: Class index of each pixel, uint8 of shape (H, W).
        class_names: One name per class, in the order of the indices.
        skeleton: Centre lines of the foreground, one pixel thin, bool of shape (H, W); None for kinds without them.
        landmarks: Row and column of named points, such as the centre of the optic disc.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.uint8]
    class_names: tuple[str, ...]
    skeleton: NDArray[np.bool_] | None = None
    landmarks: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class PhantomKind:
    """A generator and what its phantoms have in common.

    Attributes:
        draw: Returns the phantom of a seed, optionally of a `size` (H, W) and, if `channels` is None, of a number of
            `channels`.
        palette: Name and colour of each class in the order of the indices, as `palette.json` holds them.
        channels: Number of channels of every image; None if it can be chosen.
    """

    draw: Callable[..., Phantom]
    palette: Mapping[str, str]
    channels: int | None


Draw = TypeVar("Draw", bound=Callable[..., Phantom])

PHANTOM_KINDS: dict[str, PhantomKind] = {}
"""The registered kinds by name; importing `phantoms` registers every file in `phantoms/kinds`."""


def register(name: str, palette: Mapping[str, str], channels: int | None = None) -> Callable[[Draw], Draw]:
    """Decorator that registers a generator as a kind of phantom; the arguments are those of `PhantomKind`."""

    def add(draw: Draw) -> Draw:
        PHANTOM_KINDS[name] = PhantomKind(draw, palette, channels)
        return draw

    return add


def find_kind(name: str) -> PhantomKind:
    """The kind of a name.

    Raises:
        UserError: There is no such kind.
    """
    if name not in PHANTOM_KINDS:
        raise UserError(f'There are no phantoms "{name}"; use {", ".join(PHANTOM_KINDS)}.')
    return PHANTOM_KINDS[name]


def draw_phantom(kind: str, seed: int, size: tuple[int, int] | None = None, channels: int | None = None) -> Phantom:
    """The phantom of a kind and a seed; the same arguments always give the same phantom.

    Args:
        kind: A key of `PHANTOM_KINDS`.
        seed: Picks the image.
        size: (H, W); by default the kind's own.
        channels: Number of channels; by default the kind's own.

    Raises:
        UserError: An unknown kind, a size that is too small, or channels that the kind does not have.
    """
    chosen = find_kind(kind)
    if channels is not None and chosen.channels not in (None, channels):
        raise UserError(f"Phantoms of the kind {kind} have {chosen.channels} channels, not {channels}.")
    options = {"size": size, "channels": channels if chosen.channels is None else None}
    return chosen.draw(seed, **{option: value for option, value in options.items() if value is not None})
