"""`Painting`: an image that is edited by hand, step by step, with undo and redo."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import UserError
from ..receptive_field.windows import Box
from ..segmenter import Image
from .brush import Brush, filled_in
from .edit import Edit, as_array

_MOST_BYTES = 2**28
"""Of the pixels that undoing needs; beyond that the oldest steps can no longer be undone."""
_PIECE = 32
"""Pixels of a line that are worked out at once."""


@dataclass(frozen=True, eq=False)
class _Step:
    """One step: what was in a box before, float32 (C, h, w), and after it."""

    words: str
    box: Box
    before: np.ndarray
    after: np.ndarray

    @property
    def octets(self) -> int:
        return self.before.nbytes + self.after.nbytes


class Painting:
    """An image and the steps of its edit.

    A step begins with `begin` (a stroke) or `move`, changes while the hand moves, and ends with `finish`; `fill`,
    `restore` and `load` are whole steps. Each method returns the box of the pixels that may have changed, None for
    none.

    Attributes:
        original: Float32 (C, H, W), the image before any step; never changed.
        image: Float32 (C, H, W), the image as it is now.
        most_bytes: Of the pixels that undoing needs; beyond that the oldest steps can no longer be undone.
    """

    def __init__(self, image: Image, most_bytes: int = _MOST_BYTES) -> None:
        self.original = as_array(image).copy()
        self.image = self.original.copy()
        self.most_bytes = most_bytes
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._forgotten: list[str] = []
        self._open: _Stroke | _Move | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done, one phrase for each step."""
        return (*self._forgotten, *(step.words for step in self._done))

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to redo."""
        return bool(self._undone)

    def begin(self, brush: Brush) -> None:
        """Begin a stroke; one that is open ends.

        Raises:
            UserError: A colour of another number of channels.
        """
        self.finish()
        if len(brush.intensity) not in (1, len(self.image)):
            raise UserError(f"The brush paints {len(brush.intensity)} channels, the image has {len(self.image)}.")
        self._open = _Stroke(self.image.copy(), self.original, brush)

    def draw(self, points: Sequence[tuple[float, float]]) -> Box | None:
        """Go on with the stroke through points (row, column), in parts of pixels; (0, 0) is the centre of the first."""
        if not isinstance(self._open, _Stroke):
            raise UserError("There is no stroke to go on with; begin one.")
        if not points or not np.isfinite(points).all() or np.abs(points).max() > 1e6:
            raise UserError("The points of a stroke are rows and columns in the image.")
        return self._open.draw(self.image, np.asarray(points, np.float64))

    def move(self, mask: np.ndarray, offset: tuple[int, int], *, is_copied: bool = False) -> Box | None:
        """Move what is inside a mask (H, W) by (rows, columns), or a copy of it; called again, the same from its start.

        What leaves the image is cut off. The place that is left is filled in from around it.

        Raises:
            UserError: Nothing is inside the mask, or it is of another size.
        """
        if mask.shape != self.size:
            raise UserError(f"The area is of {mask.shape}, the image of {self.size}; they must be of one size.")
        if not mask.any():
            raise UserError("There is no pixel in the area; draw it over the image.")
        is_same = isinstance(self._open, _Move) and self._open.is_copied == is_copied
        if not is_same or not np.array_equal(self._open.mask, mask):  # type: ignore[union-attr]
            self.finish()
            self._open = _Move(self.image.copy(), mask.copy(), is_copied=is_copied)
        assert isinstance(self._open, _Move)  # noqa: S101 - set above
        return self._open.place(self.image, offset)

    def finish(self) -> None:
        """End what is open; it becomes a step that can be undone."""
        opened, self._open = self._open, None
        if opened is not None and (box := opened.touched) is not None:
            self._keep(_Step(opened.words, box, opened.start[(..., *box)].copy(), self.image[(..., *box)].copy()))

    def fill(self, mask: np.ndarray, brush: Brush) -> Box | None:
        """Fill an area, bool (H, W), by what a brush does.

        Raises:
            UserError: Nothing is inside the mask, or it is of another size.
        """
        if mask.shape != self.size or not mask.any():
            raise UserError("There is no pixel in the area; draw it over the image.")
        self.finish()
        box = _box_of(mask)
        fill = brush.fill(self.image, self.original, mask.astype(np.float32), box)
        after = self.image.copy()
        after[(..., *box)] = np.where(mask[box], fill, after[(..., *box)])
        return self._replace(after, f"{brush.describe().split(', radius')[0]} in an area of {int(mask.sum())} px")

    def restore(self) -> Box | None:
        """Bring the whole original back, as a step that can be undone."""
        self.finish()
        return self._replace(self.original, "Original brought back")

    def load(self, edit: Edit) -> Box | None:
        """Take over an edit of the original, as a step that can be undone.

        Raises:
            UserError: It is an edit of another image.
        """
        self.finish()
        return self._replace(edit.apply(self.original), "; ".join(edit.steps) or "Edit from a file")

    def undo(self) -> Box | None:
        """Take the last step back, bit for bit."""
        self.finish()
        if not self._done:
            return None
        step = self._done.pop()
        self._undone.append(step)
        self.image[(..., *step.box)] = step.before
        return step.box

    def redo(self) -> Box | None:
        """Do again what was undone last."""
        self.finish()
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        self.image[(..., *step.box)] = step.after
        return step.box

    def edit(self) -> Edit:
        """The edit so far."""
        return Edit.between(self.original, self.image, self.steps)

    @property
    def is_original(self) -> bool:
        """Whether the image is the original, bit for bit."""
        return np.array_equal(self.image, self.original)

    def _replace(self, after: np.ndarray, words: str) -> Box | None:
        changed = (after != self.image).any(axis=0)
        if not changed.any():
            return None
        box = _box_of(changed)
        self._keep(_Step(words, box, self.image[(..., *box)].copy(), after[(..., *box)].copy()))
        self.image[(..., *box)] = after[(..., *box)]
        return box

    def _keep(self, step: _Step) -> None:
        self._done.append(step)
        self._undone.clear()
        while len(self._done) > 1 and sum(one.octets for one in self._done) > self.most_bytes:
            self._forgotten.append(self._done.pop(0).words)


class _Stroke:
    """A stroke under way: at each pixel it acts as strongly as its nearest point does, whatever the order."""

    def __init__(self, start: np.ndarray, original: np.ndarray, brush: Brush) -> None:
        self.start, self._original, self._brush = start, original, brush
        self._strength = np.zeros(start.shape[1:], np.float32)
        self._last: np.ndarray | None = None
        self.touched: Box | None = None

    @property
    def words(self) -> str:
        return self._brush.describe()

    def draw(self, image: np.ndarray, points: np.ndarray) -> Box | None:
        changed: Box | None = None
        for point in points:
            start, self._last = point if self._last is None else self._last, point
            pieces = 1 + int(np.hypot(*(point - start)) // max(_PIECE, 2 * self._brush.radius))
            ends = np.linspace(start, point, pieces + 1)  # so that a long line is not worked out in all of its box
            for begin, end in pairwise(ends):
                changed = _around(changed, self._press(begin, end))
        if changed is None:
            return None
        self.touched = _around(self.touched, changed)
        if self._brush.kind == "inpaint":  # the hole is filled as a whole
            changed = self.touched
        assert changed is not None  # noqa: S101 - it holds what was pressed
        strength = self._strength[changed]
        fill = self._brush.fill(self.start, self._original, self._strength, changed)
        before = self.start[(..., *changed)]
        # Not through the formula where it acts in full or not at all, so that these are exact.
        mixed = before + strength * (fill - before)
        image[(..., *changed)] = np.where(strength >= 1, fill, np.where(strength <= 0, before, mixed))
        return changed

    def _press(self, start: np.ndarray, end: np.ndarray) -> Box | None:
        low = np.maximum(np.floor(np.minimum(start, end) - self._brush.radius), 0).astype(int)
        high = np.minimum(np.ceil(np.maximum(start, end) + self._brush.radius) + 1, self._strength.shape).astype(int)
        if (low >= high).any():
            return None
        box = slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
        self._strength[box] = np.maximum(self._strength[box], self._brush.strengths(start, end, box))
        return box


class _Move:
    """A part of the image under way to another place."""

    def __init__(self, start: np.ndarray, mask: np.ndarray, *, is_copied: bool) -> None:
        self.start, self.mask, self.is_copied = start, mask, is_copied
        self._from = _box_of(mask)
        self._left = start[(..., *self._from)] if is_copied else filled_in(start, mask, self._from)
        self._offset = (0, 0)
        self.touched: Box | None = None

    @property
    def words(self) -> str:
        verb = "Copied" if self.is_copied else "Moved"
        return f"{verb} {int(self.mask.sum())} px by {self._offset[0]:+d} rows, {self._offset[1]:+d} columns"

    def place(self, image: np.ndarray, offset: tuple[int, int]) -> Box | None:
        former, self._offset = self.touched, offset
        if former is not None:
            image[(..., *former)] = self.start[(..., *former)]
        if offset == (0, 0):
            self.touched = None
            return former
        image[(..., *self._from)] = self._left
        self.touched = None if self.is_copied else self._from
        parts = [
            _overlap(part, shift, length)
            for part, shift, length in zip(self._from, offset, self.mask.shape, strict=True)
        ]
        if all(source.start < source.stop for source, _ in parts):
            (source_rows, rows), (source_columns, columns) = parts
            inside = self.mask[source_rows, source_columns]
            there = image[:, rows, columns]
            there[...] = np.where(inside, self.start[:, source_rows, source_columns], there)
            self.touched = _around(self.touched, (rows, columns))
        return _around(former, self.touched)


def _overlap(part: slice, shift: int, length: int) -> tuple[slice, slice]:
    """What of a part stays in the image when it is moved: where it comes from, and where it goes to."""
    start, stop = max(part.start + shift, 0), min(part.stop + shift, length)
    return slice(start - shift, stop - shift), slice(start, stop)


def _around(first: Box | None, second: Box | None) -> Box | None:
    """The box around two boxes."""
    if first is None or second is None:
        return first or second
    rows, columns = (
        slice(min(one.start, other.start), max(one.stop, other.stop)) for one, other in zip(first, second, strict=True)
    )
    return rows, columns


def _box_of(mask: np.ndarray) -> Box:
    """The box around the pixels of a mask that holds some."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
