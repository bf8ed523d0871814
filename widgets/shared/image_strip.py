"""A strip of thumbnails of the samples and the last uploads: one click changes the image."""

import io
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image as PillowImage
from streamlit import runtime

from core.data.images import LoadedImage, load_image
from core.display.colours import intensity_rgb
from core.segmenter import Segmenter
from widgets.shared.results import Claim, ResultStore
from widgets.shared.sources import best_first, is_convertible, sample_channels, sample_images
from widgets.shared.uploads import kept_uploads, load_upload

HEIGHT, WIDTH = 60, 120
"""CSS pixels that a thumbnail has at most."""
_PIXEL_RATIO = 2
_MAX_BYTES = 32 * 2**20
_PATIENCE = 1.0
_KEY = "image_strip"
_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "image_strip",
    html='<div class="strip" role="group" aria-label="Images"></div>',
    css=(_FOLDER / "image_strip.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "image_strip.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Thumbnail:
    """A small PNG and its size in CSS pixels."""

    png: bytes
    width: int
    height: int


@st.fragment
def image_strip(segmenter: Segmenter) -> None:
    """Thumbnails of the images that the network takes, after `pick_image`, in the order of its options.

    The strip is a fragment of its own, inside another one too: a click reruns the app with the image clicked.
    Thumbnails are made in the background; the browser asks for those that the first run did not have.
    """
    claims = _request_thumbnails(segmenter)
    if getattr(st.session_state.get(_KEY), "waiting", None):
        wait([claim.computation for claim in claims.values()], _PATIENCE)
    images = [_described(name, claim) for name, claim in claims.items()]
    found = _component(
        key=_KEY,
        data={
            "images": images,
            "current": st.session_state["image"],
            "waiting": not all(claim.computation.done() for claim in claims.values()),
        },
        on_picked_change=lambda: _pick(claims),
        on_waiting_change=lambda: None,
    )
    if found.picked in claims:
        st.rerun()


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


@st.cache_resource
def _thumbnails() -> ResultStore:
    return ResultStore(_MAX_BYTES, lambda thumbnail: len(thumbnail.png))


def _request_thumbnails(segmenter: Segmenter) -> dict[str, Claim[Thumbnail]]:
    """The thumbnails by the images' names; those of samples are made in the background where they are not there yet."""
    claims: dict[str, Claim[Thumbnail]] = {}

    def request(name: str, key: tuple, load: Callable[[], LoadedImage]) -> None:
        claims[name] = _thumbnails().start(key, lambda _progress: make_thumbnail(load()))

    for name, upload in kept_uploads().items():
        if is_convertible(upload.shape[0], segmenter):
            request(name, (upload.hash, name), partial(load_upload, name, upload, "dtype"))
            wait([claims[name].computation])  # it is decoded already
    samples = sample_images()
    for name in best_first(samples, segmenter):
        path = samples[name][0]
        if is_convertible(sample_channels(path), segmenter):
            request(name, (path, path.stat().st_mtime_ns), partial(load_image, path))
    return claims


def _described(name: str, claim: Claim[Thumbnail]) -> dict[str, object]:
    """What the browser needs to show an image; without an address until its thumbnail is there."""
    computation = claim.computation
    if not computation.done() or computation.exception() is not None:
        return {"name": name}
    thumbnail = computation.result()
    url = runtime.get_instance().media_file_mgr.add(thumbnail.png, "image/png", f"{_KEY}-{name}")
    return {"name": name, "url": url, "width": thumbnail.width, "height": thumbnail.height}


def _pick(offered: dict[str, Claim[Thumbnail]]) -> None:
    picked = st.session_state[_KEY].picked
    if picked in offered:
        st.session_state["image"] = picked
