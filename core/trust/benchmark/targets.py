"""What is explained in an image that nobody clicked at: targets drawn by a seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ...errors import UserError
from ...pixel_sets import box, connected_component, point, predicted_class
from ...segmenter import Prediction
from ...target import PREDICTED, Score, Space, Target

TargetKind = Literal["patch", "point", "component", "class"]

TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)
_SMALLEST_SHARE = 0.01
"""Share of the image that a class needs before one of its pixels is drawn: a few stray pixels are no object."""
_EVERY_NEIGHBOUR = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """Which targets are drawn in an image.

    Attributes:
        kind: One of `TARGET_KINDS`, see `draw_targets`.
        n_targets: The most targets per image; there are fewer where it does not have so many different ones.
        class_index: Class of the targets; None draws it.
        space: Score space of the targets.
        against: Class whose score is subtracted; none of the targets is of it.
        window: Rows and columns of a patch's window, an odd number.

    Raises:
        UserError: An unknown kind, fewer than one target, or an even window.
    """

    kind: TargetKind = "patch"
    n_targets: int = 1
    class_index: int | None = None
    space: Space = "probability"
    window: int = 33
    against: int | None = None

    def __post_init__(self) -> None:
        _ = Score(PREDICTED if self.class_index is None else self.class_index, self.space, self.against)
        if self.kind not in TARGET_KINDS:
            raise UserError(f'The targets are one of {", ".join(TARGET_KINDS)}; "{self.kind}" was given.')
        if self.n_targets < 1:
            raise UserError(f"At least one target per image is drawn; {self.n_targets} was given.")
        if self.window < 1 or self.window % 2 == 0:
            raise UserError(f"The window of a patch has an odd number of rows and columns; {self.window} was given.")


@dataclass(frozen=True, eq=False)
class DrawnTarget:
    """A target and how it was drawn.

    Attributes:
        target: The scalar explained; a mean over its pixels.
        kind: Kind of the target, see `draw_targets`.
        class_index: Class of the target.
        row: Row of the pixel that was drawn.
        column: Column of that pixel.
        within: Bool (H, W): the window of a patch, or else the whole image.
    """

    target: Target
    kind: TargetKind
    class_index: int
    row: int
    column: int
    within: np.ndarray

    def object_in(self, truth: np.ndarray) -> np.ndarray:
        """The object that a map should find, bool (H, W); nothing where the mask has none.

        For a patch, the pixels of its class inside its window; for a point or a component, the connected parts of its
        class that it touches; for a class, the whole class.

        Args:
            truth: The true class of each pixel, integers (H, W).
        """
        true = truth == self.class_index
        if self.kind in ("point", "component"):
            from scipy.ndimage import label  # noqa: PLC0415 - slow to import

            parts, _ = label(true, structure=_EVERY_NEIGHBOUR)
            touched = np.unique(parts[self.target.pixels(truth.shape) & true])
            return np.isin(parts, touched) & true
        return true & self.within

    def in_words(self, class_names: Sequence[str]) -> str:
        """Such as "patch of vessel at (12, 40), 118 pixels"."""
        count = int(self.target.pixels(self.within.shape).sum())
        place = "" if self.kind == "class" else f" at ({self.row}, {self.column})"
        name = class_names[self.class_index]
        if self.target.against is not None:
            name += f" rather than {class_names[self.target.against]}"
        return f"{self.kind} of {name}{place}, {count} pixel{'s' * (count > 1)}"


def draw_targets(
    prediction: Prediction,
    class_names: Sequence[str],
    settings: TargetSettings = TargetSettings(),
    generator: np.random.Generator | None = None,
) -> list[DrawnTarget]:
    """Targets inside the prediction, no two of them the same.

    For each one, first a class is drawn among those that have 1 % of the image (or, where none has, among all that are
    there), so that small classes are not lost among large ones; the background is left out. Then one of the pixels
    predicted as that class is drawn, and around it

    - patch: the pixels of the class in a window around it, cut at the image's edges;
    - point: that pixel alone;
    - component: the pixels of the class connected to it, over corners too;
    - class: all pixels of the class.

    Args:
        prediction: The network's prediction.
        class_names: One name per class; see `foreground_classes`.
        settings: Which targets.
        generator: Generator of the draws; by default one with the seed 0.

    Raises:
        UserError: Nothing but background is predicted, or the class is not.
    """
    if settings.against is not None:
        Score(PREDICTED, settings.space, settings.against).check(len(class_names))
    generator = generator or np.random.default_rng(0)
    pool = {
        index: _different(prediction.labels, index, settings, generator)
        for index in _classes(prediction.labels, class_names, settings)
    }
    drawn: list[DrawnTarget] = []
    while pool and len(drawn) < settings.n_targets:
        chosen = int(generator.choice(list(pool)))
        found = next(pool[chosen], None)
        if found is None:
            del pool[chosen]
        else:
            drawn.append(found)
    return drawn


def foreground_classes(class_names: Sequence[str]) -> list[int]:
    """All classes but the background: that of this name, or of two classes the first where none has it."""
    named = [index for index, name in enumerate(class_names) if name.strip().lower() == "background"]
    background = named or ([0] if len(class_names) == 2 else [])
    return [index for index in range(len(class_names)) if index not in background]


def _classes(labels: np.ndarray, class_names: Sequence[str], settings: TargetSettings) -> list[int]:
    if (class_index := settings.class_index) is not None:
        name = class_names[class_index] if 0 <= class_index < len(class_names) else ""
        predicted_class(labels, class_index, f"class {class_index} ({name})")
        return [class_index]
    explained = [index for index in foreground_classes(class_names) if index != settings.against]
    sizes = {index: int((labels == index).sum()) for index in explained}
    there = [index for index, size in sizes.items() if size]
    if not there:
        raise UserError(
            "Nothing but background is predicted, so there is nothing to explain; name another class, or leave the "
            "image out."
        )
    return [index for index in there if sizes[index] >= _SMALLEST_SHARE * labels.size] or there


def _different(
    labels: np.ndarray, class_index: int, settings: TargetSettings, generator: np.random.Generator
) -> Iterator[DrawnTarget]:
    """Targets of one class in a drawn order, each set of pixels once."""
    size, kind = labels.shape, settings.kind
    of_class = labels == class_index
    left = of_class.copy()
    seen: set[bytes] = set()
    for place in generator.permutation(np.flatnonzero(left)):
        row, column = divmod(int(place), size[1])
        if not left[row, column]:
            continue
        within = np.ones(size, dtype=bool)
        if kind == "point":
            pixels = point(labels, row, column)
        elif kind == "patch":
            half = settings.window // 2
            within = box(size, row - half, column - half, row + half, column + half)
            pixels = within & of_class
        else:
            pixels = connected_component(labels, row, column) if kind == "component" else of_class
            left &= ~pixels
        key = np.packbits(pixels).tobytes()
        if key in seen:
            continue
        seen.add(key)
        if kind == "point":
            target = Target.pixel(row, column, class_index, settings.space, settings.against)
        else:
            target = Target.region(pixels, class_index, settings.space, "mean", settings.against)
        yield DrawnTarget(target, kind, class_index, row, column, within)
