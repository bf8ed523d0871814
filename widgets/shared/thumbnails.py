"""Small pictures of the images that can be chosen, made in the background."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image as PillowImage
from streamlit import runtime

from core.data.browsing import ListedImage, read_labels
from core.data.decoding import read_shape
from core.data.images import LoadedImage, load_image
from core.data.index_masks import IGNORED
from core.display.colours import class_colour, intensity_rgb
from core.errors import UserError
from widgets.shared.offered_images import OfferedImage
from widgets.shared.results import Claim, ResultStore

HEIGHT, WIDTH = 84, 112
"""CSS pixels that a thumbnail has at most."""
_PIXEL_RATIO = 2
_MAX_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Thumbnail:
    """A small PNG and its size in CSS pixels."""

    png: bytes
    width: int
    height: int


def make_thumbnail(image: LoadedImage) -> Thumbnail:
    """A PNG that fits into `WIDTH` × `HEIGHT` CSS pixels, with the image's aspect."""
    rows, columns = image.values.shape[1:]
    step = _step(rows, columns)
    return _reduced(intensity_rgb(np.ascontiguousarray(image.values[:, ::step, ::step])), rows, columns)


def make_overlay(labels: np.ndarray) -> Thumbnail:
    """The same of a mask (H, W): the colours of its classes; background and pixels without a class are clear."""
    rows, columns = labels.shape
    step = _step(rows, columns)
    labels = labels[::step, ::step]
    table = np.zeros((max(IGNORED, int(labels.max())) + 1, 4), np.uint8)
    for index in np.unique(labels).tolist():
        if index not in (0, IGNORED):
            table[index] = (*class_colour(index), 255)
    return _reduced(table[labels], rows, columns)


def _step(rows: int, columns: int) -> int:
    """Every how many pixels are enough for a thumbnail."""
    return max(1, int(1 / (4 * _PIXEL_RATIO * _scale(rows, columns))))


def _scale(rows: int, columns: int) -> float:
    return min(HEIGHT / rows, WIDTH / columns)


def _reduced(picture: np.ndarray, rows: int, columns: int) -> Thumbnail:
    """A picture (h, w, 3 or 4) of an image of so many rows and columns."""
    scale = _scale(rows, columns)
    height, width = max(1, round(scale * rows)), max(1, round(scale * columns))
    small = PillowImage.fromarray(picture).resize(
        (_PIXEL_RATIO * width, _PIXEL_RATIO * height), PillowImage.Resampling.BOX
    )
    file = io.BytesIO()
    small.save(file, "PNG")
    return Thumbnail(file.getvalue(), width, height)


def request_thumbnails(images: Iterable[OfferedImage]) -> dict[str, Claim[Thumbnail]]:
    """The thumbnails by the images' names, made in the background where they are not there yet."""
    return {
        image.name: _thumbnails().start(image.key, lambda _progress, image=image: make_thumbnail(image.load()))  # type: ignore[misc]
        for image in images
    }


def request_pictures(image: ListedImage) -> tuple[Claim[Thumbnail], Claim[Thumbnail] | None]:
    """The thumbnail of an image of a data set and that of its mask, None without one; otherwise as above."""
    picture = _thumbnails().start((image.image, _changed(image.image)), lambda _progress: _picture_of(image.image))
    if image.mask is None:
        return picture, None
    key = "mask", image.mask, _changed(image.mask), repr(image.encoding)
    return picture, _thumbnails().start(key, lambda _progress: _overlay_of(image))


def is_made(claim: Claim[Thumbnail]) -> bool:
    """Whether a thumbnail can be shown; not while it is made, nor of a file that cannot be read."""
    return claim.computation.done() and claim.computation.exception() is None


def served(name: str, claim: Claim[Thumbnail]) -> dict[str, object]:
    """Address and size of a thumbnail for the browser; nothing where it `is_made` not."""
    if not is_made(claim):
        return {}
    thumbnail = claim.computation.result()
    url = runtime.get_instance().media_file_mgr.add(thumbnail.png, "image/png", f"thumbnail-{name}")
    return {"url": url, "width": thumbnail.width, "height": thumbnail.height}


def _picture_of(path: Path) -> Thumbnail:
    return make_thumbnail(load_image(path))


def _overlay_of(image: ListedImage) -> Thumbnail:
    labels = read_labels(image)
    if labels.shape != read_shape(image.image)[1:]:
        raise UserError(f"The mask {image.stem} has another size than its image.")  # the inspection tells it
    return make_overlay(labels)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@st.cache_resource
def _thumbnails() -> ResultStore:
    return ResultStore(_MAX_BYTES, lambda thumbnail: len(thumbnail.png))
