"""What a viewer shows: panels, each a stack of layers, with the controls that change their painting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np

from core.display.colours import ColourScale, class_colour
from core.display.footprint import BoundingBox
from widgets.viewer.arrays import array_file, picture_file
from widgets.viewer.controls import Shown, Value, text_of

Painted = float | str
"""A number, or the name of a control after a dollar sign, such as "$opacity"."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a panel.

    Attributes:
        name: Name within the viewer; layers of one name in two panels show the same.
        title: Name in the line that reads values off; empty for that of the layer.
        opacity: Opacity in [0, 1].
        shown: The controls that show and hide it, all of which must; None for always.
    """

    name: str
    title: str = ""
    opacity: Painted = 1.0
    shown: Shown | Sequence[Shown] | None = None

    def describe(self) -> dict[str, Any]:
        """The layer as plain values for the browser."""
        needed = () if self.shown is None else (self.shown,) if isinstance(self.shown, Shown) else self.shown
        shown = [one.describe() for one in needed]
        return {"name": self.name, "title": self.title or None, "opacity": self.opacity, "shown": shown}


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture(Layer):
    """The image.

    Attributes:
        image: Float32 (C, H, W) in [0, 1], or RGB as uint8 (H, W, 3).
    """

    image: np.ndarray
    name: str = "image"
    title: str = "intensity"

    def describe(self) -> dict[str, Any]:
        """See `Layer.describe`."""
        intensities = None if self.image.dtype == np.uint8 else array_file(self.image)
        return super().describe() | {"kind": "picture", "url": picture_file(self.image), "intensities": intensities}


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels(Layer):
    """Classes over the image in their colours; the background, class 0, stays clear.

    Attributes:
        labels: Integers (H, W).
        class_names: One name per class.
        colours: One colour per class, as red, green, blue; empty for those of classes.
    """

    labels: np.ndarray
    class_names: Sequence[str]
    colours: Sequence[tuple[int, int, int]] = ()

    def describe(self) -> dict[str, Any]:
        """See `Layer.describe`."""
        palette = list(self.colours) or [class_colour(index) for index in range(len(self.class_names))]
        return super().describe() | {
            "kind": "labels",
            "array": array_file(self.labels),
            "palette": palette,
            "classes": list(self.class_names),
            "clear": 0,
        }


@dataclass(frozen=True)
class Ends:
    """Where the colours of a map end: a number in its unit for each value of a control, or of several together."""

    control: str | tuple[str, ...]
    values: Mapping[str, float] | Mapping[float, float] | Mapping[bool, float] | Mapping[tuple[Value, ...], float]

    def describe(self) -> dict[str, Any]:
        """The ends as plain values for the browser."""
        names = [self.control] if isinstance(self.control, str) else list(self.control)
        written = {
            ",".join(map(text_of, key if isinstance(key, tuple) else (key,))): end for key, end in self.values.items()
        }
        return {"settings": names, "values": written}


@dataclass(frozen=True, kw_only=True, eq=False)
class ScalarMap(Layer):
    """A map in the colours of a scale, with a colour bar.

    Attributes:
        values: Float32 (C, h, w) or (h, w); the channels are summed. None where it comes through the channel only.
        scale: Colours and limits.
        unit: Unit of the values.
        corner: Row and column of the first value; outside of the values the map is 0.
        covers: (height, width) in image pixels, from the first pixel on, that values of another resolution are
            stretched over; None where each value is that of one pixel.
        limit: Where the colours end, as a proportion of the map's largest magnitude (the norm of its channels)
            or of `ends`, instead of the scale's limits.
        ends: Where the colours end by the value of a control, instead of the map's maximum.
        is_live: Whether the channel's answers replace it.
        fading: Whether it becomes clear where it is weak.
        floor: It is clear where its magnitude is below this proportion of the end of the colours.
        over: Whether the layers below show where it has no value.
        dims: How much it darkens the layers below, 0 to 1.
        has_bar: Whether it has a colour bar.
        names_unit: Whether the line that reads values off names the unit.
        is_log: Whether the colours follow log(1 + value), with ticks at 0 and the powers of ten.
        is_read: Whether the line that reads values off names its value.
    """

    values: np.ndarray | None
    scale: ColourScale
    unit: str = ""
    corner: tuple[int, int] = (0, 0)
    covers: tuple[int, int] | None = None
    limit: Painted | None = None
    ends: Ends | None = None
    is_live: bool = False
    fading: bool = False
    floor: Painted = 0.0
    over: bool = False
    dims: float = 0.0
    has_bar: bool = True
    names_unit: bool = False
    is_log: Painted = False
    is_read: bool = True

    def describe(self) -> dict[str, Any]:
        """See `Layer.describe`."""
        array = None
        if self.values is not None:
            array = array_file(self.values)
            array["shape"] = [*(1,) * (3 - self.values.ndim), *self.values.shape]
        scale: dict[str, Any] = {"colours": self.scale.colours}
        if self.limit is None and self.ends is None:
            scale |= {"low": self.scale.low, "high": self.scale.high}
        elif not self.scale.is_signed:
            scale |= {"low": self.scale.low}
        return super().describe() | {
            "kind": "map",
            "array": array,
            "window": list(self.corner),
            "covers": None if self.covers is None else list(self.covers),
            "scale": scale,
            "unit": self.unit,
            "limit": self.limit,
            "ends": None if self.ends is None else self.ends.describe(),
            "live": self.is_live,
            "fading": self.fading,
            "floor": self.floor,
            "over": self.over,
            "dims": self.dims,
            "bar": self.has_bar,
            "readUnit": self.names_unit,
            "log": self.is_log,
            "read": self.is_read,
        }


@dataclass(frozen=True, kw_only=True)
class AboveThreshold(Layer):
    """The pixels of a map whose magnitude exceeds a threshold, tinted by their sign, and their bounding box.

    Attributes:
        of: Name of the map's layer.
        definition: "relative" to the map's largest magnitude, or "absolute".
        proportion: The threshold, as a proportion of that magnitude.
        thresholds: The threshold in the map's unit for each value of `proportion`, where the largest magnitude is not
            that of this map alone; NaN for nothing above.
        absolute: The threshold, in the map's unit.
        is_tinted: Whether the pixels are tinted; without, there is the box alone.
    """

    of: str
    name: str = "above"
    opacity: Painted = 0.85
    definition: Painted = "relative"
    proportion: Painted = 0.01
    thresholds: Mapping[float, float] | None = None
    absolute: Painted = 0.0
    is_tinted: bool = True

    def describe(self) -> dict[str, Any]:
        """See `Layer.describe`."""
        known = None
        if self.thresholds is not None:
            known = [[key, None if isnan(value) else value] for key, value in self.thresholds.items()]
        return super().describe() | {
            "kind": "above",
            "of": self.of,
            "definition": self.definition,
            "proportion": self.proportion,
            "thresholds": known,
            "absolute": self.absolute,
            "tinted": self.is_tinted,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Mask(Layer):
    """A pixel set, tinted and outlined.

    Attributes:
        mask: Bool (H, W); of integers, such as labels, each border between two values is outlined.
        colour: Its colour, as "#rrggbb"; white unless told otherwise, since the other colours are those of classes.
    """

    mask: np.ndarray
    colour: str = "#ffffff"
    name: str = "pixel set"
    opacity: Painted = 0.25

    def describe(self) -> dict[str, Any]:
        """See `Layer.describe`."""
        return super().describe() | {"kind": "mask", "array": array_file(self.mask), "colour": self.colour}


@dataclass(frozen=True)
class Circle:
    """A circle around a pixel's centre, its radius in pixels."""

    row: int
    column: int
    radius: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Shapes(Layer):
    """Boxes, their pixels inside the line, and circles."""

    shapes: Sequence[BoundingBox | Circle]
    name: str = "shapes"

    def describe(self) -> dict[str, Any]:
        """See `Layer.describe`."""
        kinds = {BoundingBox: "box", Circle: "circle"}
        return super().describe() | {
            "kind": "shapes",
            "shapes": [{"kind": kinds[type(shape)], **vars(shape)} for shape in self.shapes],
        }


@dataclass(frozen=True)
class Panel:
    """One of the linked pictures.

    Attributes:
        title: Heading.
        layers: From below.
        help: Explanation under the pointer.
        note: Remark at the right of the heading.
        group: Heading above the first of several panels that have the same; empty for none.
        name: Name within the viewer, which `on_choose` is called with; empty for that of the heading.
        is_choosable: Whether a click or Enter on the heading chooses it, as on the picture where no tool takes them.
        is_chosen: Whether it is marked as the chosen one.
        warning: Why the panel means little, behind a mark in its corner; empty for no mark.
        empty: What stands in place of a picture that is not there yet; empty for a picture.
    """

    title: str
    layers: Sequence[Layer]
    help: str = ""
    note: str = ""
    group: str = ""
    name: str = ""
    is_choosable: bool = False
    is_chosen: bool = False
    warning: str = ""
    empty: str = ""

    def describe(self) -> dict[str, Any]:
        """The panel as plain values for the browser."""
        return {
            "name": self.name or self.title,
            "choosable": self.is_choosable,
            "chosen": self.is_chosen,
            "warning": self.warning,
            "empty": self.empty,
            "title": self.title,
            "help": self.help,
            "note": self.note,
            "group": self.group,
            "layers": [layer.describe() for layer in self.layers],
        }


@dataclass(frozen=True)
class Heading:
    """Heading of a row or a column of panels: a few words, a remark below them, and an explanation."""

    text: str
    note: str = ""
    help: str = ""


@dataclass(frozen=True)
class Grid:
    """Panels row by row under headings: `len(rows)` times `len(columns)` small ones without headings of their own."""

    rows: Sequence[Heading]
    columns: Sequence[Heading]

    def describe(self) -> dict[str, Any]:
        """The grid as plain values for the browser."""
        return {"rows": [vars(one) for one in self.rows], "columns": [vars(one) for one in self.columns]}


@dataclass(frozen=True)
class Number:
    """A number about a map: its name, its value in words, and an explanation."""

    name: str
    value: str
    help: str = ""

    def describe(self) -> list[str]:
        """The number as plain values for the browser."""
        return [self.name, self.value, self.help]


@dataclass(frozen=True)
class Chip:
    """A few words in a small pill.

    Attributes:
        text: The words.
        tone: "plain", "good", "bad", or a colour as "#rrggbb", which is shown beside the words.
    """

    text: str
    tone: str = "plain"

    def describe(self) -> list[str]:
        """The chip as plain values for the browser."""
        return [self.text, self.tone]


@dataclass(frozen=True)
class Words:
    """What is said about what a viewer shows.

    Attributes:
        sentence: One sentence.
        chips: The answer at a glance, before the sentence.
        numbers: The four that matter most, then those that are shown on demand.
        unit: Unit of the live map, where it differs from pixel to pixel; empty for that of its layer.
    """

    sentence: str = ""
    chips: Sequence[Chip] = ()
    numbers: Sequence[Number] = ()
    unit: str = ""

    def describe(self) -> dict[str, Any]:
        """The words as plain values for the browser."""
        return {
            "sentence": self.sentence,
            "chips": [chip.describe() for chip in self.chips],
            "numbers": [number.describe() for number in self.numbers],
            "unit": self.unit,
        }


@dataclass(frozen=True)
class Recipe:
    """How what a viewer shows is made again, for its report.

    Attributes:
        facts: Names and values of what it was made from.
        python: A script.
        shell: A command; empty where there is none.
    """

    facts: Sequence[tuple[str, str]]
    python: str
    shell: str

    def describe(self) -> dict[str, Any]:
        """The recipe as plain values for the browser."""
        return {"facts": [list(fact) for fact in self.facts], "python": self.python, "shell": self.shell}


@dataclass(frozen=True)
class Paint:
    """What a hand paints on. Its layers are patched by the channel's answers, each by the name of its map.

    Attributes:
        id: Names the painting.
        version: Counts its changes: a scene that is older than what the browser shows changes nothing.
        can_undo: Whether there is a step to undo.
        can_redo: Whether there is a step to redo.
    """

    id: str
    version: int
    can_undo: bool = False
    can_redo: bool = False

    def describe(self) -> dict[str, Any]:
        """The painting as plain values for the browser."""
        return {"id": self.id, "version": self.version, "undo": self.can_undo, "redo": self.can_redo}


@dataclass(frozen=True, eq=False)
class Pin:
    """A pixel kept for comparison, with its map and a few numbers."""

    row: int
    column: int
    map: ScalarMap | None
    numbers: Sequence[Number] = field(default=())

    def describe(self) -> dict[str, Any]:
        """The pin as plain values for the browser."""
        return {
            "row": self.row,
            "column": self.column,
            "map": None if self.map is None else self.map.describe(),
            "numbers": [number.describe() for number in self.numbers],
        }
