"""Masks of many classes: plain indices, label ids of a data set, or colours."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .decoding import decode_image

IGNORED = 255
"""Index of pixels that belong to no class; training and scores leave them out."""

Colour = tuple[int, int, int]

_IGNORED_NAMES = ("ignore", "ignored", "void", "unlabelled", "unlabeled")

_CITYSCAPES_IDS = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
CITYSCAPES_CLASSES = tuple(_CITYSCAPES_IDS)
"""The 19 classes of Cityscapes that are scored (Cordts et al. 2016), in the order of its train ids."""
CITYSCAPES_LABEL_IDS: dict[int, int] = dict.fromkeys((*range(35), IGNORED), IGNORED) | {
    label: index for index, label in enumerate(_CITYSCAPES_IDS.values())
}
"""From the label ids of Cityscapes (0 to 34) to its train ids; those that are not scored are ignored."""


@dataclass(frozen=True)
class MaskEncoding:
    """How the masks of a data set are written: as colours, as a data set's own ids, or as the indices themselves.

    Attributes:
        class_names: One name per class, at most 255, in the order of the indices.
        palette: Class index, or `IGNORED`, of each RGB colour (0 to 255) in colour masks; see `read_palette`.
        label_ids: Class index, or `IGNORED`, of each stored number; see `CITYSCAPES_LABEL_IDS`. Without it, and without
            a palette, masks hold the indices themselves, and 255 where a pixel is to be ignored.

    Raises:
        ValueError: Both a palette and label ids, or more than 255 classes.
    """

    class_names: tuple[str, ...]
    palette: Mapping[Colour, int] | None = None
    label_ids: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        if self.palette is not None and self.label_ids is not None:
            raise ValueError("A mask holds either colours or label ids.")
        if len(self.class_names) > IGNORED:
            raise ValueError(f"An index mask has {IGNORED} classes at most.")


def read_index_mask(source: str | Path | bytes, encoding: MaskEncoding, name: str = "") -> NDArray[np.int64]:
    """The class index of every pixel of a mask of many classes: int64 (H, W), 0 to K - 1, or `IGNORED`.

    Args:
        source: A PNG or TIFF file, or its bytes.
        encoding: How the mask is written.
        name: Name for bytes in messages.

    Raises:
        UserError: A file that cannot be read, or labels or colours that are no classes (the message names them).
    """
    stored, name, _ = decode_image(source, name, keep_palette=encoding.palette is None)
    return classes_by_encoding(stored, encoding, name)


def classes_by_encoding(stored: np.ndarray, encoding: MaskEncoding, name: str) -> NDArray[np.int64]:
    """The class indices (H, W) in the stored values (C, H, W) of a mask; see `read_index_mask`."""
    num_classes = len(encoding.class_names)
    if encoding.palette is not None:
        if stored.shape[0] not in (1, 3) or stored.dtype != np.uint8:
            raise UserError(f"{name} has no 8-bit RGB colours that a palette could name; save the mask as RGB.")
        red, green, blue = np.broadcast_to(stored, (3, *stored.shape[1:])).astype(np.int64)
        codes, places = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
        found: list = [(code >> 16, code >> 8 & 255, code & 255) for code in codes.tolist()]
    else:
        if (stored != stored[:1]).any():
            raise UserError(f"{name} is a colour picture; give the palette that says which colour is which class.")
        codes, places = np.unique(stored[0], return_inverse=True)
        found = codes.tolist()
    what = "label" if encoding.palette is None else "colour"
    plain = {index: index for index in (*range(num_classes), IGNORED)}
    classes: Mapping = next(kind for kind in (encoding.palette, encoding.label_ids, plain) if kind is not None)
    unknown = [value for value in found if value not in classes]
    if unknown:
        raise UserError(
            f"The mask {name} holds the {what}{'s' if len(unknown) > 1 else ''} {_listed(unknown)}, which "
            f"{'are' if len(unknown) > 1 else 'is'} no class; the known {what}s are {_listed(classes)}."
        )
    indices = np.array([classes[value] for value in found], dtype=np.int64)
    outside = indices[((indices < 0) | (indices >= num_classes)) & (indices != IGNORED)]
    if outside.size:
        raise UserError(f"The mask {name} holds the class {outside[0]}; there are only 0 to {num_classes - 1}.")
    return indices[places.reshape(stored.shape[1:])]


def read_palette(path: str | Path) -> MaskEncoding:
    """The encoding of colour masks by the palette in a JSON or text file.

    JSON holds an object from the class's name to its colour, [r, g, b] or "#rrggbb"; text holds one line per class,
    `r g b name`. The first class has the index 0. A class called "void", "ignore" or "unlabelled" is ignored.

    Raises:
        UserError: No such file, one that is neither, or a colour that two classes share.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no palette {path}; give a JSON or text file with the colour of each class.")
    try:
        text = path.read_text(encoding="utf-8")
        named = json.loads(text).items() if path.suffix.lower() == ".json" else _lines(text)
        entries = [(name, _colour(value)) for name, value in named]
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f'{path.name} is no palette ({error}); write JSON such as {{"road": [128, 64, 128]}}, or lines such as '
            "128 64 128 road."
        ) from error
    names: list[str] = []
    colours: dict[Colour, int] = {}
    for name, colour in entries:
        if colour in colours:
            raise UserError(f"The palette {path.name} gives the colour {colour} to two classes; each needs its own.")
        if name.lower() in _IGNORED_NAMES:
            colours[colour] = IGNORED
            continue
        colours[colour] = len(names)
        names.append(name)
    if not names:
        raise UserError(f"The palette {path.name} names no class; write a line such as 128 64 128 road for each.")
    return MaskEncoding(tuple(names), colours)


def _lines(text: str) -> list[tuple[str, list[int]]]:
    lines = [line.split(maxsplit=3) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name.strip(), [int(value) for value in values]) for *values, name in lines]


def _colour(value: object) -> Colour:
    if isinstance(value, str):
        value = list(bytes.fromhex(value.removeprefix("#")))
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in value):
        raise ValueError(f"{value} is no colour")
    return (value[0], value[1], value[2])


def _listed(values: Iterable, most: int = 8) -> str:
    values = [str(value) for value in values]
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more
