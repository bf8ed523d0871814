"""Pixel sets: which pixels a target sums over, as masks (H, W), under the names that pages and command line share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from .data.index_masks import IGNORED
from .drawn_regions import DrawnPart, region_mask
from .errors import UserError
from .segmenter import Prediction
from .target import PREDICTED, Reduction, Score, Space, Target

AtPixel = Literal["point", "component"]
Outcome = Literal["true_positives", "false_positives", "false_negatives", "true_negatives"]
PixelSetName = Literal["prediction", "class", AtPixel, "box", "lasso", "border", "image", Outcome, "zero"]
PIXEL_SETS: tuple[PixelSetName, ...] = get_args(PixelSetName)
TITLES: dict[PixelSetName, str] = {
    "prediction": "The whole prediction",
    "class": "The class, as predicted",
    "point": "One pixel",
    "component": "The connected part at a pixel",
    "box": "A box",
    "lasso": "A lasso",
    "border": "The border of the class",
    "image": "The whole image",
    "true_positives": "True positives",
    "false_positives": "False positives",
    "false_negatives": "False negatives",
    "true_negatives": "True negatives",
    "zero": "No pixel (a check: its map is 0)",
}
NEEDS_PIXEL: tuple[PixelSetName, ...] = get_args(AtPixel)
NEEDS_TRUTH: tuple[PixelSetName, ...] = get_args(Outcome)
NEEDS_CLASS: tuple[PixelSetName, ...] = ("class", "border", *NEEDS_TRUTH)

_EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class PixelSet:
    """How to choose pixels: a name and what that name needs. The same choice applies to any image.

    Attributes:
        name: One of `PIXEL_SETS`; "prediction" is every pixel with the class that is predicted there.
        row: Row of the pixel, for "point" and "component".
        column: Column of that pixel.
        box: First row, first column, last row and last column, for "box"; the last ones included.
        lasso: At least three corners (row, column), for "lasso"; see `lasso`.
        parts: Shapes drawn one after the other, for "box" and "lasso", instead of a single one.
        width: Width in pixels, for "border".
    """

    name: PixelSetName = "class"
    row: int | None = None
    column: int | None = None
    box: tuple[int, int, int, int] | None = None
    lasso: Sequence[tuple[float, float]] | None = None
    width: int = 1
    parts: Sequence[DrawnPart] = ()

    def mask(
        self,
        prediction: Prediction,
        class_index: int = 1,
        truth: np.ndarray | None = None,
        class_names: Sequence[str] = (),
    ) -> np.ndarray:
        """The pixels, bool (H, W).

        Args:
            prediction: What the network predicts for the image.
            class_index: The class, for the sets that depend on one.
            truth: The true class of each pixel, integers (H, W), for true and false positives and negatives; a pixel
                of the value `IGNORED` is in none of these.
            class_names: Names of the classes, for messages.

        Raises:
            UserError: Something that the set needs is missing or outside the image, or it has no pixel.
        """
        labels, num_classes = prediction.labels, len(prediction.probabilities)
        if self.name not in PIXEL_SETS:
            raise UserError(f'The pixel set is one of {", ".join(PIXEL_SETS)}; "{self.name}" was given.')
        if not 0 <= class_index < num_classes:
            raise UserError(f"There is no class {class_index}; the network has {num_classes}, counted from 0.")
        called = _called(class_index, class_names)
        if self.name in NEEDS_TRUTH:
            if truth is None:
                raise UserError(f"{TITLES[self.name]} need a ground truth; give the image's mask.")
            truth = np.asarray(truth)
            check_truth(truth, labels.shape, num_classes)
            return self._outcomes(labels == class_index, truth == class_index, truth != IGNORED, called)
        if self.name == "class":
            return predicted_class(labels, class_index, called)
        if self.name == "border":
            return border(labels, class_index, self.width, called)
        return self._drawn(labels)

    def target(
        self,
        prediction: Prediction,
        class_index: int | None = 1,
        space: Space = "logit",
        reduction: Reduction = "sum",
        truth: np.ndarray | None = None,
        class_names: Sequence[str] = (),
        against: int | None = None,
    ) -> Target:
        """The score of a class over these pixels.

        Arguments as in `mask` and `Target.region`. Without a class, or with `PREDICTED`, it is at every pixel the class
        predicted there, as always for "prediction"; `against` as in `Target.prediction`. The set "zero" has no mean:
        its score is the sum over nothing, 0.

        Raises:
            UserError: As in `mask` and `Target.region`, or the set is that of a class, and none is given.
        """
        if class_index == PREDICTED:
            class_index = None
        if class_index is None and self.name in NEEDS_CLASS:
            raise UserError(f"The pixel set {self.name} needs to know of which class; name one.")
        if self.name == "zero":
            reduction = "sum"
        labels = prediction.labels
        mask = self.mask(prediction, class_index or 0, truth, class_names)
        if self.name == "point" and self.row is not None and self.column is not None:
            score = Score(PREDICTED if class_index is None else class_index, space, against)
            return score.at(self.row, self.column, labels)
        if class_index is None or self.name == "prediction":
            return Target.prediction(labels, space, reduction, mask, against)
        return Target.region(mask, class_index, space, reduction, against)

    def describe(self) -> dict[str, Any]:
        """The choice as plain values for a manifest."""
        description: dict[str, Any] = {"name": self.name}
        if self.name in NEEDS_PIXEL:
            description |= {"row": self.row, "column": self.column}
        if self.name in ("box", "lasso") and self.parts:
            description["parts"] = [part.describe() for part in self.parts]
        elif self.name == "box" and self.box is not None:
            description["box"] = list(self.box)
        elif self.name == "lasso" and self.lasso is not None:
            description["lasso"] = [[float(row), float(column)] for row, column in self.lasso]
        if self.name == "border":
            description["width"] = self.width
        return description

    def _drawn(self, labels: np.ndarray) -> np.ndarray:
        if self.name in NEEDS_PIXEL:
            if self.row is None or self.column is None:
                raise UserError(f"The pixel set {self.name} needs a row and a column.")
            return (point if self.name == "point" else connected_component)(labels, self.row, self.column)
        if self.name in ("box", "lasso") and self.parts:
            mask = region_mask(labels.shape, self.parts)
            if not mask.any():
                raise UserError("There is no pixel's centre inside the region; draw it larger, or choose a pixel.")
            return mask
        if self.name == "box":
            if self.box is None:
                raise UserError("The pixel set box needs its first row and column and its last row and column.")
            return box(labels.shape, *self.box)
        if self.name == "lasso":
            return lasso(labels.shape, self.lasso or ())
        return np.full(labels.shape, self.name in ("image", "prediction"))

    def _outcomes(self, predicted: np.ndarray, true: np.ndarray, known: np.ndarray, called: str) -> np.ndarray:
        """True or false positives or negatives, of where a class is predicted and where it is true."""
        right, positive = self.name.startswith("true"), self.name.endswith("positives")
        mask = known & (predicted == positive) & ((predicted == true) == right)
        if not mask.any():
            raise UserError(f"There are no {TITLES[self.name].lower()} of {called} in this image.")
        return mask


def point(labels: np.ndarray, row: int, column: int) -> np.ndarray:
    """One pixel of an image of the size of `labels` (H, W).

    Raises:
        UserError: A pixel outside the image.
    """
    height, width = labels.shape
    if not (0 <= row < height and 0 <= column < width):
        raise UserError(
            f"The pixel ({row}, {column}) lies outside the image of {height} rows and {width} columns, counted from 0."
        )
    return Target.pixel(row, column).pixels(labels.shape)


def box(size: tuple[int, ...], first_row: int, first_column: int, last_row: int, last_column: int) -> np.ndarray:
    """A rectangle of an image of `size` (height, width), its last row and column included; cut at the image's edges.

    Raises:
        UserError: No pixel of the image lies in it.
    """
    mask = np.zeros(size, dtype=bool)
    mask[max(0, first_row) : max(0, last_row + 1), max(0, first_column) : max(0, last_column + 1)] = True
    if not mask.any():
        raise UserError(
            f"The box from ({first_row}, {first_column}) to ({last_row}, {last_column}) holds no pixel of the image of "
            f"{size[0]} rows and {size[1]} columns; draw it inside, first corner at the top left."
        )
    return mask


def lasso(size: tuple[int, ...], corners: Sequence[tuple[float, float]]) -> np.ndarray:
    """The pixels whose centres lie inside a polygon, by the even-odd rule: a loop within the loop is a hole.

    Args:
        size: (height, width) of the image.
        corners: (row, column) of each corner, in parts of pixels; (0, 0) is the centre of the first pixel.

    Raises:
        UserError: Fewer than three corners, a corner that is not finite, or no pixel inside.
    """
    outline = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
    if len(outline) < 3 or not np.isfinite(outline).all():
        raise UserError("A lasso needs at least three corners; draw it around some pixels.")
    from skimage.draw import polygon2mask  # noqa: PLC0415 - slow to import, and only a lasso needs it

    mask = polygon2mask(size, outline)
    if not mask.any():
        raise UserError("There is no pixel's centre inside the lasso; draw it larger, or choose a single pixel.")
    return mask


def predicted_class(labels: np.ndarray, class_index: int, called: str = "") -> np.ndarray:
    """The pixels of `labels` (H, W) that have a class.

    Raises:
        UserError: There are none; the message lists the classes that there are.
    """
    mask = labels == class_index
    if not mask.any():
        there = ", ".join(map(str, np.unique(labels)))
        raise UserError(
            f"No pixel is predicted as {called or _called(class_index)}; the prediction has the classes {there}: "
            "choose one of these, or pixels of your own."
        )
    return mask


def connected_component(labels: np.ndarray, row: int, column: int) -> np.ndarray:
    """The pixels of the same label as a pixel that are connected to it, also over corners.

    Raises:
        UserError: A pixel outside the image.
    """
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    pixel = point(labels, row, column)
    parts, _ = label(labels == labels[pixel], structure=_EVERY_NEIGHBOUR)
    return parts == parts[pixel]


def border(labels: np.ndarray, class_index: int, width: int = 1, called: str = "") -> np.ndarray:
    """The pixels of a class at most `width` rows and columns from a pixel of another class; the image's edge is none.

    Raises:
        UserError: A width below 1, a class that is not there, or one that fills the whole image.
    """
    from scipy.ndimage import binary_erosion  # noqa: PLC0415 - slow to import

    if width < 1:
        raise UserError(f"A border is at least 1 pixel wide; {width} was given.")
    inside = predicted_class(labels, class_index, called)
    core = binary_erosion(inside, structure=_EVERY_NEIGHBOUR, iterations=width, border_value=1)
    mask = inside & ~core
    if not mask.any():
        raise UserError(f"The whole image is {called or _called(class_index)}, so the class has no border.")
    return mask


def check_truth(truth: np.ndarray, size: tuple[int, ...], num_classes: int) -> None:
    """Raise a UserError unless a mask fits an image of `size` (height, width) and a network of `num_classes`."""
    if truth.shape != size:
        raise UserError(
            f"The mask is {'×'.join(map(str, truth.shape))} pixels and the image {'×'.join(map(str, size))}; "
            "they must be of one size."
        )
    unknown = np.setdiff1d(truth, [*range(num_classes), IGNORED])
    if len(unknown):
        raise UserError(
            f"The mask holds the label {unknown[0]}, but the network only knows the classes 0 to {num_classes - 1}; "
            "map its labels to these first."
        )


def _called(class_index: int, class_names: Sequence[str] = ()) -> str:
    named = class_index < len(class_names) and class_names[class_index] != f"class {class_index}"
    return f"class {class_index} ({class_names[class_index]})" if named else f"class {class_index}"
