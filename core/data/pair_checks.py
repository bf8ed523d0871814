"""What one image and its mask hold, and what is wrong with them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .data_sets import ImagePair
from .decoding import decode_image, read_shape
from .fingerprints import fingerprint, pixel_hash
from .images import classes_of_mask, scale_intensities
from .index_masks import IGNORED, classes_by_encoding
from .reports import ImageFacts, Kind, MaskForm

Found = tuple[Kind, Path, str]
"""Kind of an issue, the file and the sentence."""

HISTOGRAM_BINS = 256


def check_headers(pair: ImagePair) -> tuple[int, list[Found]]:
    """The channels of an image, and what the headers of image and mask say is wrong."""
    issues: list[Found] = []
    shapes = {}
    for what, path in (("image", pair.image), ("mask", pair.mask), ("skeleton", pair.skeleton)):
        if path is not None:
            try:
                shapes[what] = path, read_shape(path)
            except (UserError, OSError) as error:
                issues.append(("unreadable", path, _sentence(error, path)))
    if "image" not in shapes:
        return 0, issues
    image, (channels, height, width) = shapes.pop("image")
    for what, (path, (_, other_height, other_width)) in shapes.items():
        if (other_height, other_width) != (height, width):
            sentence = (
                f"The image {image.name} is {height}×{width} pixels and its {what} {path.name} "
                f"{other_height}×{other_width}; both must be of one size."
            )
            issues.append(("another size", path, sentence))
    return channels, issues


def check_pixels(
    part: str, pair: ImagePair, class_names: Sequence[str]
) -> tuple[tuple[ImageFacts, NDArray[np.int64]] | None, list[Found]]:
    """What one image and its mask hold, with the histogram (C, 256), and what is wrong with them."""
    issues: list[Found] = []
    image = stored = mask = None
    try:
        values, name, notes = decode_image(pair.image)
        image = scale_intensities(values, "dtype", name, notes)
    except (UserError, OSError, MemoryError) as error:
        issues.append(("unreadable", pair.image, _sentence(error, pair.image)))
    try:
        keep_palette = pair.encoding is None or pair.encoding.palette is None
        stored, mask_name, _ = decode_image(pair.mask, keep_palette=keep_palette)
        mask = _classes(stored, pair, mask_name)
    except (UserError, OSError, MemoryError) as error:
        kind: Kind = "unreadable" if stored is None else "unknown class" if pair.encoding else "not a mask"
        issues.append((kind, pair.mask, _sentence(error, pair.mask) + _colours_in(stored, kind)))
    if image is None or stored is None or mask is None:
        return None, issues
    is_constant = bool((values == values[:, :1, :1]).all())
    if is_constant:
        sentence = f"The image {name} has the same value everywhere; is it the right file? If not, remove it."
        issues.append(("constant image", pair.image, sentence))
    classes, counts = np.unique(mask, return_counts=True)
    beyond = [index for index in classes.tolist() if index != IGNORED and index >= len(class_names) > 0]
    if beyond:
        sentence = (
            f"The mask {mask_name} holds the class {beyond[-1]}, but only {len(class_names)} classes are "
            f"named: {', '.join(class_names)}."
        )
        issues.append(("unknown class", pair.mask, sentence))
    channels, height, width = image.shape
    facts = ImageFacts(
        part=part,
        pair=pair,
        channels=channels,
        height=height,
        width=width,
        stored_as=str(values.dtype),
        brightness=float(image.mean(dtype=np.float64)),
        contrast=float(image.std(dtype=np.float64)),
        is_constant=is_constant,
        class_counts=dict(zip(classes.tolist(), counts.tolist(), strict=True)),
        mask_form=_form(stored, pair),
        pixel_hash=pixel_hash(values),
        fingerprint=fingerprint(image),
    )
    return (facts, _histogram(image)), issues


def _classes(stored: np.ndarray, pair: ImagePair, name: str) -> NDArray[np.int64]:
    if pair.encoding is None:
        return classes_of_mask(stored, name)
    return classes_by_encoding(stored, pair.encoding, name)


def _form(stored: np.ndarray, pair: ImagePair) -> MaskForm:
    if pair.encoding is not None and pair.encoding.palette is not None:
        return "colours"
    if pair.encoding is not None and pair.encoding.label_ids is not None:
        return "label ids"
    if pair.encoding is not None:
        return "class indices"
    low, high = int(stored.min()), int(stored.max())
    if high == 0:
        return "black"
    if high == 1:
        return "0 and 1"
    is_two_valued = low in (0, high) and bool(((stored == 0) | (stored == high)).all())
    return "0 and 255" if is_two_valued and high in (255, 65535) else "class indices"


def _colours_in(stored: np.ndarray | None, kind: Kind) -> str:
    """The colours of a colour mask that has no palette, so that one can be written."""
    if kind != "not a mask" or stored is None or stored.shape[0] != 3 or stored.dtype != np.uint8:
        return ""
    colours = np.unique(stored.reshape(3, -1).T, axis=0)
    listed = ", ".join(str(tuple(colour)) for colour in colours[:8].tolist())
    more = f" and {len(colours) - 8} more" if len(colours) > 8 else ""
    return f" It holds the colours {listed}{more}; a palette.json beside the folders names the class of each."


def _histogram(image: np.ndarray) -> NDArray[np.int64]:
    bins = np.minimum(image * HISTOGRAM_BINS, HISTOGRAM_BINS - 1).astype(np.uint8)
    return np.stack([np.bincount(channel.ravel(), minlength=HISTOGRAM_BINS) for channel in bins])


def _sentence(error: Exception, path: Path) -> str:
    if isinstance(error, UserError):
        return str(error)
    reason = "memory ran out" if isinstance(error, MemoryError) else getattr(error, "strerror", "") or str(error)
    return f"{path.name} cannot be read: {reason}."
