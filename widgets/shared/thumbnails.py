"""Small pictures of the images that can be chosen, made in the background."""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image as PillowImage
from streamlit import runtime

from core.data.images import LoadedImage
from core.display.colours import intensity_rgb
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
    scale = min(HEIGHT / rows, WIDTH / columns)
    height, width = max(1, round(scale * rows)), max(1, round(scale * columns))
    step = max(1, int(1 / (4 * _PIXEL_RATIO * scale)))
    picture = PillowImage.fromarray(intensity_rgb(np.ascontiguousarray(image.values[:, ::step, ::step])))
    file = io.BytesIO()
    picture.resize((_PIXEL_RATIO * width, _PIXEL_RATIO * height), PillowImage.Resampling.BOX).save(file, "PNG")
    return Thumbnail(file.getvalue(), width, height)


def request_thumbnails(images: Iterable[OfferedImage]) -> dict[str, Claim[Thumbnail]]:
    """The thumbnails by the images' names, made in the background where they are not there yet."""
    return {
        image.name: _thumbnails().start(image.key, lambda _progress, image=image: make_thumbnail(image.load()))  # type: ignore[misc]
        for image in images
    }


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


@st.cache_resource
def _thumbnails() -> ResultStore:
    return ResultStore(_MAX_BYTES, lambda thumbnail: len(thumbnail.png))
