"""Which score is explained, as options that mean the same for every image."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer

from ..errors import UserError
from ..pixel_sets import NEEDS_PIXEL, PixelSet, PixelSetName
from ..segmenter import Prediction, Segmenter
from ..target import PREDICTED, Reduction, Score, Space, Target
from .option_groups import OptionGroup
from .options import chosen_class

PREDICTED_NAME = "predicted"
"""Names, in place of a class, that which is predicted at each pixel."""
ScoreClass = Annotated[
    str, typer.Option("--class", help='Class, by number or name; "predicted" for the one predicted at each pixel.')
]
Against = Annotated[
    str | None, typer.Option(help="Class whose score is subtracted, by number or name: why the one rather than this?")
]


def score_class(segmenter: Segmenter, name: str) -> int:
    """The class with this number or name, or `PREDICTED`.

    Raises:
        UserError: The network has no such class.
    """
    is_class = name in segmenter.class_names
    return PREDICTED if name == PREDICTED_NAME and not is_class else chosen_class(segmenter, name)


@dataclass(frozen=True)
class TargetOptions(OptionGroup):
    """The score of a class over a pixel set."""

    class_name: Annotated[
        str | None,
        typer.Option(
            "--class", help='Class, by number or name; "predicted", as without one, is that predicted at each pixel.'
        ),
    ] = None
    against: Against = None
    pixel_set: Annotated[
        PixelSetName | None,
        typer.Option(help="Pixels whose scores are explained. By default the pixel, box or lasso given, else all."),
    ] = None
    row: Annotated[int | None, typer.Option(help="Row of the pixel, for point and component.")] = None
    column: Annotated[int | None, typer.Option(help="Column of the pixel, for point and component.")] = None
    box: Annotated[str | None, typer.Option(help="First row, first column, last row, last column: 0,0,9,9.")] = None
    lasso: Annotated[str | None, typer.Option(help="Corners as row,column: '0,0 0,9.5 9,9'.")] = None
    border_width: Annotated[int, typer.Option(help="Width of the border, in pixels.")] = 1
    space: Annotated[Space, typer.Option(help="Score space to explain.")] = "logit"
    reduction: Annotated[
        Reduction,
        typer.Option(help="How the scores of the pixels are put together: by default as in Python; the pages average."),
    ] = "sum"

    @property
    def pixels(self) -> PixelSet:
        """The pixel set.

        Raises:
            UserError: A box or lasso that cannot be read, more than one of pixel, box and lasso, or one of these with
                a pixel set that does not depend on it.
        """
        given: dict[PixelSetName, str] = {}
        if self.row is not None or self.column is not None:
            given["point"] = "--row and --column"
        given |= {"box": "--box"} if self.box is not None else {}
        given |= {"lasso": "--lasso"} if self.lasso is not None else {}
        if len(given) > 1:
            raise UserError(f"Give either a pixel, a box or a lasso; {' and '.join(given.values())} were given.")
        whole: PixelSetName = "prediction" if self.class_name in (None, PREDICTED_NAME) else "image"
        name: PixelSetName = next(iter(given), whole) if self.pixel_set is None else self.pixel_set
        for suited, options in given.items():
            if name != suited and not (suited == "point" and name in NEEDS_PIXEL):
                raise UserError(
                    f"The pixel set {name} does not use {options}; leave out {options}, or add --pixel-set {suited}."
                )
        return PixelSet(name, self.row, self.column, box_of(self.box), corners_of(self.lasso), self.border_width)

    def class_index(self, segmenter: Segmenter) -> int | None:
        """The class; None is the class that is predicted at each pixel.

        Raises:
            UserError: The network has no such class, or not the one that is subtracted, or the two are the same.
        """
        known = PREDICTED if self.class_name is None else score_class(segmenter, self.class_name)
        _ = Score(known, self.space, self._other(segmenter))
        return None if known == PREDICTED else known

    def _other(self, segmenter: Segmenter) -> int | None:
        return None if self.against is None else chosen_class(segmenter, self.against)

    def target(self, segmenter: Segmenter, prediction: Prediction, truth: np.ndarray | None) -> Target:
        """The target in the image of a prediction."""
        class_index, names = self.class_index(segmenter), segmenter.class_names
        given = prediction, class_index, self.space, self.reduction, truth, names
        return self.pixels.target(*given, self._other(segmenter))

    def describe(self, segmenter: Segmenter) -> dict[str, Any]:
        """The choice as plain values."""
        chosen = {"pixel_set": self.pixels.describe(), "class_index": self.class_index(segmenter)}
        if self.against is not None:
            chosen["against"] = self._other(segmenter)
        return chosen | {"space": self.space, "reduction": self.reduction}


def box_of(text: str | None) -> tuple[int, int, int, int] | None:
    """The box in a text such as "0,0,9,9"; None for none.

    Raises:
        UserError: It cannot be read.
    """
    if text is None:
        return None
    try:
        first_row, first_column, last_row, last_column = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f'The box is 4 whole numbers with commas between them; "{text}" was given.') from error
    return first_row, first_column, last_row, last_column


def corners_of(text: str | None) -> list[tuple[float, float]] | None:
    """The corners of a lasso in a text such as "0,0 0,9.5 9,9"; None for none.

    Raises:
        UserError: It cannot be read.
    """
    if text is None:
        return None
    try:
        return [(float(row), float(column)) for row, column in (each.split(",") for each in text.split())]
    except ValueError as error:
        raise UserError(f'The lasso is corners row,column with spaces between them; "{text}" was given.') from error
