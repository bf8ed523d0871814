"""Windows: the part of an image on which the network must run for some of its outputs to be those of the whole."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..segmenter import Canvas, Segmenter
from .support import AxisSupport, ReceptiveField

Box = tuple[slice, slice]
"""Rows and columns."""

_WORTHWHILE = 0.8
"""Largest share of the whole canvas on which a window is still faster than the whole."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of an image on which the network runs, and the outputs that are read there.

    Attributes:
        inputs: Rows and columns of the image that can reach the outputs.
        area: Rows and columns of the image on which the network runs.
        canvas: The canvas around that area.
        outputs: Rows and columns of the outputs in the logits of the area.
    """

    inputs: Box
    area: Box
    canvas: Canvas
    outputs: Box

    def logits(self, segmenter: Segmenter, images: Tensor) -> Tensor:
        """Logits (B, K, h, w) of the outputs, from images (B, C, …) of the area."""
        return segmenter.unchecked_logits(images, self.canvas)[(..., *self.outputs)]

    @property
    def inputs_in_area(self) -> Box:
        """Rows and columns of the inputs in the area."""
        return shifted(self.inputs[0], -self.area[0].start), shifted(self.inputs[1], -self.area[1].start)


@dataclass(frozen=True, eq=False)
class Windows:
    """The crops of images of one size.

    A crop begins at a multiple of the network's stride and holds all that can reach its outputs, so every unit between
    them has the value that it has in the whole image. At the image's borders it has the borders of the whole canvas.

    Attributes:
        field: The structural receptive field.
        canvas: The canvas around the whole image.
        alignment: What the first row and column of a crop on the canvas are multiples of, in pixels.
    """

    field: ReceptiveField
    canvas: Canvas
    alignment: int

    def crop(self, outputs: Box) -> Crop | None:
        """The crop for a box of outputs; None where it would cost as much as the whole image."""
        rows = self._axis(self.field.rows, outputs[0], self.canvas.height, self.canvas.top)
        columns = self._axis(self.field.columns, outputs[1], self.canvas.width, self.canvas.left)
        if rows.extent * columns.extent > _WORTHWHILE * self.canvas.height * self.canvas.width:
            return None
        return Crop(
            (rows.inputs, columns.inputs),
            (rows.area, columns.area),
            Canvas(rows.extent, columns.extent, rows.before, columns.before),
            (rows.outputs, columns.outputs),
        )

    def reached(self, row: int, column: int) -> Box | None:
        """The box around the outputs that the input pixel (row, column) can reach; None where it reaches none."""
        return self.reached_by((slice(row, row + 1), slice(column, column + 1)))

    def reached_by(self, inputs: Box) -> Box | None:
        """The box around the outputs that a box of input pixels can reach; None where it reaches none."""
        rows, columns = _reached(self.field.rows, inputs[0]), _reached(self.field.columns, inputs[1])
        return None if rows is None or columns is None else (rows, columns)

    def _axis(self, support: AxisSupport, outputs: slice, extent: int, before: int) -> "_Interval":
        first, last = int(support.first[outputs].min()), int(support.last[outputs].max())
        # Scores begin where the canvas begins: those of the outputs lie in the crop, wherever their inputs lie.
        start, stop = min(first + before, outputs.start), max(last + 1 + before, outputs.stop)
        start = 0 if first == 0 else start // self.alignment * self.alignment
        stop = extent if last == len(support) - 1 else min(-(-stop // self.alignment) * self.alignment, extent)
        area = slice(max(start - before, 0), min(stop - before, len(support)))
        return _Interval(
            slice(first, last + 1), area, stop - start, area.start + before - start, shifted(outputs, -start)
        )


@dataclass(frozen=True)
class _Interval:
    """One axis of a crop: see `Crop`; the canvas is `extent` long, `before` of it before the area."""

    inputs: slice
    area: slice
    extent: int
    before: int
    outputs: slice


def everything(size: tuple[int, int]) -> Box:
    """The box of a whole image of this height and width."""
    return slice(0, size[0]), slice(0, size[1])


def shifted(part: slice, by: int) -> slice:
    """A slice of whole numbers moved by some places."""
    return slice(part.start + by, part.stop + by)


def _reached(support: AxisSupport, inputs: slice) -> slice | None:
    reached = np.flatnonzero((support.first < inputs.stop) & (inputs.start <= support.last))
    return slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else None
