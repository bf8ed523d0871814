"""Regions drawn by hand: boxes, lassos and strokes of a brush, added to each other or taken away.

Points are (row, column) in parts of pixels; (0, 0) is the centre of the first pixel. As a text a region is a list of
its parts, separated by ";": a box as "first row,first column,last row,last column", a lasso as its corners
"row,column row,column …", a stroke as "@radius row,column …"; "!" before a part takes it away.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .errors import UserError

Kind = Literal["box", "lasso", "brush"]
MOST_POINTS = 20_000
_FURTHEST = 1e6
_LARGEST_RADIUS = 512
_ROUNDING = 1e-9
"""A centre at the distance of the radius belongs to a stroke, however the distance is rounded."""


@dataclass(frozen=True)
class DrawnPart:
    """One shape of a region.

    Attributes:
        kind: "box", "lasso" or "brush".
        points: Two opposite corners of a box, the corners of a lasso, or the points of a stroke.
        takes_away: Whether its pixels leave the region.
        radius: Radius of the brush, in pixels.
    """

    kind: Kind
    points: tuple[tuple[float, float], ...]
    takes_away: bool = False
    radius: float = 0.0

    def __post_init__(self) -> None:
        fewest = {"box": 2, "lasso": 3, "brush": 1}[self.kind]
        if not fewest <= len(self.points) <= MOST_POINTS or not np.isfinite(self.points).all():
            raise UserError(f"A {self.kind} needs {fewest} points or more, each a row and a column.")
        if np.abs(self.points).max() > _FURTHEST:
            raise UserError(f"A point of the {self.kind} lies too far outside the image.")
        if not 0 <= self.radius <= _LARGEST_RADIUS:
            raise UserError(f"The brush has a radius of at most {_LARGEST_RADIUS} pixels.")

    def mask(self, size: tuple[int, ...]) -> np.ndarray:
        """The pixels of an image of `size` (height, width) whose centres lie inside, bool (H, W)."""
        points = np.asarray(self.points, dtype=np.float64)
        if self.kind == "box":
            first, last = np.ceil(points.min(axis=0)).astype(int), np.floor(points.max(axis=0)).astype(int)
            mask = np.zeros(size, dtype=bool)
            mask[max(0, first[0]) : max(0, last[0] + 1), max(0, first[1]) : max(0, last[1] + 1)] = True
            return mask
        if self.kind == "lasso":
            from skimage.draw import polygon2mask  # noqa: PLC0415 - a gradient needs no scikit-image

            return polygon2mask(size, points)
        return self._stroke(points, size)

    def _stroke(self, points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """Pixels at most `radius` from one of the lines between the points."""
        mask = np.zeros(size, dtype=bool)
        for start, end in zip(points, [*points[1:], points[-1]], strict=True):
            low = np.maximum(np.floor(np.minimum(start, end) - self.radius), 0).astype(int)
            high = np.minimum(np.ceil(np.maximum(start, end) + self.radius) + 1, size).astype(int)
            if (low >= high).any():
                continue
            box = slice(low[0], high[0]), slice(low[1], high[1])
            mask[box] |= squared_distances(start, end, box) <= (self.radius + _ROUNDING) ** 2
        return mask

    def text(self) -> str:
        """The part as written in an address and on the command line."""
        points = [f"{row:g},{column:g}" for row, column in np.round(self.points, 1).tolist()]
        shape = ",".join(points) if self.kind == "box" else " ".join(points)
        return ("!" if self.takes_away else "") + (f"@{self.radius:g} " if self.kind == "brush" else "") + shape

    def describe(self) -> dict[str, Any]:
        """The part as plain values, for a manifest and for the browser."""
        description: dict[str, Any] = {
            "kind": self.kind, "op": "subtract" if self.takes_away else "add", "points": [list(p) for p in self.points]
        }  # fmt: skip
        return description | ({"radius": self.radius} if self.kind == "brush" else {})

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "DrawnPart":
        """The part that `describe` described.

        Raises:
            UserError: It is no such description.
        """
        try:
            points = tuple((float(row), float(column)) for row, column in description["points"])
            radius = float(description.get("radius") or 0.0)
            kind = description["kind"]
            if kind in ("box", "lasso", "brush"):
                return cls(kind, points, description.get("op") == "subtract", radius)
        except (KeyError, TypeError, ValueError, AttributeError):
            pass
        raise UserError("The region cannot be read; draw it again.")


def squared_distances(start: np.ndarray, end: np.ndarray, box: tuple[slice, slice]) -> np.ndarray:
    """Squared distance of each pixel's centre in a box to the line between two points, float64 (h, w)."""
    rows, columns = np.mgrid[box]
    offsets = np.stack((rows, columns), axis=-1) - start
    along, length = end - start, float(((end - start) ** 2).sum())
    share = np.clip(offsets @ along / length, 0, 1) if length else np.zeros(offsets.shape[:2])
    return ((offsets - share[..., None] * along) ** 2).sum(axis=-1)


def region_mask(size: tuple[int, ...], parts: Sequence[DrawnPart]) -> np.ndarray:
    """The pixels of a region in an image of `size` (height, width), bool (H, W); each part acts on those before it."""
    mask = np.zeros(size, dtype=bool)
    for part in parts:
        inside = part.mask(size)
        mask = mask & ~inside if part.takes_away else mask | inside
    return mask


def parts_text(parts: Sequence[DrawnPart]) -> str:
    """A region as a text; empty for no parts."""
    return ";".join(part.text() for part in parts)


def parts_of(text: str) -> tuple[DrawnPart, ...]:
    """The region in a text such as "10,20,60,90;!20,30 20,60 50,45"; no parts for an empty one.

    Raises:
        UserError: The text is no region.
    """
    return tuple(_part(piece.strip()) for piece in text.split(";")) if text.strip() else ()


def _part(text: str) -> DrawnPart:
    matched = re.fullmatch(r"(!)?(?:@([\d.]+) )?(.+)", text)
    try:
        if matched is not None:
            away, radius, points = matched.groups()
            groups = [[float(number) for number in piece.split(",")] for piece in points.split()]
            if radius is None and len(groups) == 1 and len(groups[0]) == 4:
                top, left, bottom, right = groups[0]
                return DrawnPart("box", ((top, left), (bottom, right)), away is not None)
            corners = tuple((row, column) for row, column in groups)
            kind: Kind = "lasso" if radius is None else "brush"
            return DrawnPart(kind, corners, away is not None, float(radius or 0))
    except ValueError:
        pass  # no number, or too few or too many
    raise UserError(f'"{text}" is no region: draw one, or write a box as 10,20,60,90 or a lasso as 10,20 10,90 60,55.')
