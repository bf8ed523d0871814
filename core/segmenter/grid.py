"""Which axes of a network's scores follow the rows and columns of the image, and how they lie over it."""

from dataclasses import dataclass
from typing import Literal

import torch

from ..errors import UserError

_LARGEST_STRIDE = 32
Align = Literal["stretch", "centre"]
Size = tuple[int, int]
"""Height and width of an image."""


class UnusualSizeError(UserError):
    """The network takes none of the usual image sizes; it can be examined once there is an image."""


class OffGridError(UnusualSizeError):
    """The scores of the usual sizes lie on no grid that follows the image's size; those of an image of its own may."""


@dataclass(frozen=True)
class Grid:
    """How scores lie over the image.

    Attributes:
        channels_last: Whether the classes are the last axis, (B, H, W, K).
        align: Whether the scores cover the whole image ("stretch") or only its centre, without a border ("centre").
        border: Image rows and columns, in all, that scores of the centre leave out.
        notes: Conclusions for the user.
    """

    channels_last: bool = False
    align: Align = "stretch"
    border: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()


def grid_of(shapes: list[torch.Size], sizes: list[Size], align: Align | None, name: str) -> Grid:
    """The axes of scores that follow the image's size, and how.

    Args:
        shapes: Shape of the scores for an image of each size, without the second where the network refuses that size.
        sizes: Two image sizes; or one alone for scores that do not follow the image's size: they must then have it, or
            be one for the whole image.
        align: What the user stated; None with one size.
        name: Name of the network, for messages.

    Raises:
        UserError: Scores of no segmentation network.
        OffGridError: Scores that follow the image in no way.
    """
    shape, size = shapes[0], sizes[0]
    has_own_size = len(sizes) == 1
    if len(shape) not in (3, 4):
        raise UserError(
            f"The network {name} gave a result of the shape {tuple(shape)}; a segmentation network gives one score "
            "per class and pixel: (batch, classes, height, width)."
        )
    if shape[0] != 1:
        raise OffGridError(
            f"The network {name} gave a result of the shape {tuple(shape)} for one image; return it with its batch "
            "axis: (1, classes, height, width)."
        )
    if has_own_size and tuple(shape[2:]) == (1, 1):
        return Grid(notes=("it gives one score per image, not per pixel",))
    options = [(2, False), (1, True)] if len(shape) == 4 else [(1, False)] * (not has_own_size)
    if len(shapes) == 1:  # with one size alone, only axes that follow it alike are the image's
        options.sort(key=lambda option: shape[option[0]] * size[1] != shape[option[0] + 1] * size[0])
    for first_axis, channels_last in options:
        pairs = list(zip(shapes, sizes, strict=False))
        lengths = [[(each[first_axis + axis], side[axis]) for each, side in pairs] for axis in (0, 1)]
        rows, columns = (_border(found, has_own_size=has_own_size) for found in lengths)
        if rows is None or columns is None:
            continue
        notes = ["the classes are the last axis of its result"] if channels_last and not has_own_size else []
        found_align: Align = "centre" if max(rows, columns) > 0 else "stretch"
        if (align or found_align) == "stretch":
            return Grid(channels_last, notes=tuple(notes))
        if align is None:
            border = f"{rows} rows and {columns} columns"
            notes.append(f"its result leaves out a border of {border} in all, taken as even on both sides")
        return Grid(channels_last, "centre", (rows, columns), tuple(notes))
    if align == "stretch" and len(shape) == 4:
        return Grid()
    raise OffGridError(
        f"The scores of {name}, of the shape {tuple(shape)} for an image of {size[0]}×{size[1]} pixels, lie on no grid "
        'that follows the image\'s size; say align="stretch" if they cover the whole image anyway.'
    )


def _border(lengths: list[tuple[int, int]], *, has_own_size: bool) -> int | None:
    """The number of pixels by which an axis of the scores is shorter than the image's, from pairs of both lengths.

    0 where it has the image's length, a fraction or a multiple of it, each perhaps rounded; None where it does not
    follow the image, or with `has_own_size` where it has another length.
    """
    if all(found == side for found, side in lengths):
        return 0
    if has_own_size:
        return None
    missing = {side - found for found, side in lengths}
    num_lengths, num_sides = (len(set(each)) for each in zip(*lengths, strict=True))
    if num_lengths < num_sides:  # the same for another size, as queries are
        return None
    if len(missing) == 1 and min(missing) > 0 and num_sides > 1:
        return min(missing)
    for factor in range(2, _LARGEST_STRIDE + 1):
        rounded = [(found, side, side // factor, -(-side // factor)) for found, side in lengths]
        if (
            all(found in (below, above) for found, _, below, above in rounded)
            or all(found in (below * factor, above * factor) for found, _, below, above in rounded)
            or all(found == side * factor for found, side, *_ in rounded)
        ):
            return 0
    return None
