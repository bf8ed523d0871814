"""Which score is explained, as options and as a value that is the same for every image."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer

from ..errors import UserError
from ..pixel_sets import NEEDS_TRUTH, PixelSet, PixelSetName
from ..segmenter import Prediction, Segmenter
from ..target import Reduction, Space, Target
from .option_groups import OptionGroup
from .options import OptionalClassName, chosen_class


@dataclass(frozen=True, eq=False)
class Question:
    """Which scalar is explained in every image.

    Attributes:
        pixel_set: How its pixels are chosen.
        class_index: The class; None takes the class that is predicted at each pixel.
        space: Score space.
        reduction: How the scores of the pixels are put together.
    """

    pixel_set: PixelSet
    class_index: int | None
    space: Space
    reduction: Reduction

    @property
    def needs_truth(self) -> bool:
        """Whether the pixels are chosen by comparing with a ground truth."""
        return self.pixel_set.name in NEEDS_TRUTH

    def target(self, segmenter: Segmenter, prediction: Prediction, truth: np.ndarray | None) -> Target:
        """The target in the image of a prediction."""
        return self.pixel_set.target(
            prediction, self.class_index, self.space, self.reduction, truth, segmenter.class_names
        )

    def describe(self) -> dict[str, Any]:
        """The question as plain values."""
        return asdict(self) | {"pixel_set": self.pixel_set.describe()}


@dataclass(frozen=True)
class TargetOptions(OptionGroup):
    """Options from which a `Question` is made."""

    class_name: OptionalClassName = None
    pixel_set: Annotated[
        PixelSetName | None,
        typer.Option(help="Pixels whose scores are explained. By default the pixel, box or lasso given, else all."),
    ] = None
    row: Annotated[int | None, typer.Option(help="Row of the pixel, for point and component.")] = None
    column: Annotated[int | None, typer.Option(help="Column of the pixel, for point and component.")] = None
    box: Annotated[str | None, typer.Option(help="First row, first column, last row, last column: 0,0,9,9.")] = None
    lasso: Annotated[str | None, typer.Option(help="Corners as row,column: '0,0 0,9.5 9,9'.")] = None
    border_width: Annotated[int, typer.Option(help="Width of the border, in pixels.")] = 1
    space: Annotated[Space, typer.Option(help="Score space to explain.")] = "probability"
    reduction: Annotated[Reduction, typer.Option(help="How the scores of the pixels are put together.")] = "sum"

    def question(self, segmenter: Segmenter) -> Question:
        """The question to a network.

        Raises:
            UserError: A class that the network has not, or numbers that cannot be read.
        """
        class_index = None if self.class_name is None else chosen_class(segmenter, self.class_name)
        box = None if self.box is None else _box(self.box)
        lasso = None if self.lasso is None else _corners(self.lasso)
        chosen = PixelSet(self._pixel_set_name(), self.row, self.column, box, lasso, self.border_width)
        return Question(chosen, class_index, self.space, self.reduction)

    def _pixel_set_name(self) -> PixelSetName:
        if self.pixel_set is not None:
            return self.pixel_set
        if self.row is not None or self.column is not None:
            return "point"
        if self.box is not None:
            return "box"
        if self.lasso is not None:
            return "lasso"
        return "prediction" if self.class_name is None else "image"


def _box(text: str) -> tuple[int, int, int, int]:
    try:
        first_row, first_column, last_row, last_column = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f'The box is 4 whole numbers with commas between them; "{text}" was given.') from error
    return first_row, first_column, last_row, last_column


def _corners(text: str) -> list[tuple[float, float]]:
    try:
        return [(float(row), float(column)) for row, column in (corner.split(",") for corner in text.split())]
    except ValueError as error:
        raise UserError(f'The lasso is corners row,column with spaces between them; "{text}" was given.') from error
