"""The gallery: the image shown as a card, which opens all others as thumbnails with their scores."""

from collections.abc import Mapping
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from core.segmenter import Segmenter
from widgets.shared.component import TILES, component
from widgets.shared.image_choice import choose_image
from widgets.shared.image_scores import ImageScores, score_name
from widgets.shared.in_order import in_order
from widgets.shared.next_error import forget_errors
from widgets.shared.offered_images import OfferedImage, in_groups
from widgets.shared.slow_work import cancel_unless, request
from widgets.shared.thumbnails import request_thumbnails, served
from widgets.shared.uploads import UPLOADER

PAGE = 60
"""Thumbnails of a group that are shown at a time."""
_PATIENCE = 1.0
_TICKS_FOR_PREDICTION = 20
"""Times that the card asks for the score of its image, while the page may still predict it."""
_SCORES = "image scores"
_FOLDER = Path(__file__).parent
_component = component(
    "gallery", '<div class="gallery"></div>', _FOLDER / "gallery.css", (TILES, _FOLDER / "gallery.js")
)


@dataclass(frozen=True)
class _Page:
    """The part of a group that is in view, after the `first` images of `count`."""

    group: str
    count: int
    first: int
    images: list[OfferedImage]


@st.fragment
def gallery(
    segmenter: Segmenter,
    scores: ImageScores,
    offered: Mapping[str, OfferedImage],
    current: str,
    image_hash: str = "",
    *,
    is_open: bool = False,
) -> None:
    """The card of the current image, which opens thumbnails of all images by group.

    A fragment of its own: the thumbnails and scores of what is in view come while the page goes on. A click reruns the
    app with the image clicked.

    Args:
        segmenter: The network.
        scores: Its scores.
        offered: The images by name.
        current: Name of the image chosen.
        image_hash: Hash of the current image as the network takes it; "" where it does not.
        is_open: Whether the thumbnails stand on the page by themselves, without the card and under an invitation to
            drop a file: where the image chosen cannot be shown.
    """
    key = "gallery_choices" if is_open else "gallery"
    asked = _asked(key)
    groups = in_groups(offered.values(), segmenter) if is_open or asked.get("open") else {}
    pages = [_page(name, images, asked) for name, images in groups.items()]
    in_view = {image.name: image for page in pages for image in page.images}
    if not is_open:
        in_view[current] = offered[current]
    claims = request_thumbnails(in_view.values())
    if asked.get("tick"):
        wait([claim.computation for claim in claims.values()], _PATIENCE)
    waiting = not all(claim.computation.done() for claim in claims.values())
    if groups:
        waiting |= _request_scores(scores, list(in_view.values()))
    elif not is_open and scores.missing([offered[current]]) and image_hash:
        scores.compute_from_kept(offered[current], image_hash)
        waiting |= bool(scores.missing([offered[current]])) and asked.get("tick", 0) < _TICKS_FOR_PREDICTION

    def described(image: OfferedImage) -> dict[str, object]:
        score = scores.get(image)
        return {
            "name": image.name,
            "label": image.name.removeprefix(f"{image.group}/"),
            "score": None if score is None else f"{score:.3f}",
            "hint": _hint(image, segmenter),
            **served(image.name, claims[image.name]),
        }

    _component(
        key=key,
        data=in_order(key, {
            "current": None if is_open else described(offered[current]),
            "groups": [
                {
                    "name": page.group, "count": page.count, "first": page.first,
                    "images": [described(image) for image in page.images],
                }
                for page in pages
            ],
            "isOpen": is_open, "scoreName": score_name(segmenter), "page": PAGE, "uploader": UPLOADER,
            "waiting": waiting,
        }),
        default={"asked": {}},
        on_asked_change=partial(_take, key, offered),
    )  # fmt: skip
    if (st.session_state.get("image") or current) != current:
        st.rerun()


def _asked(key: str) -> dict[str, Any]:
    """What the browser asks for: whether the thumbnails are open, which part of each group, which names."""
    asked = getattr(st.session_state.get(key), "asked", None)
    return dict(asked) if isinstance(asked, Mapping) else {}


def _page(group: str, images: list[OfferedImage], asked: Mapping[str, Any]) -> _Page:
    words = str(asked.get("find", "")).casefold()
    found = [image for image in images if words in image.name.casefold()] if words else images
    first = min(int(dict(asked.get("first") or {}).get(group, 0)), max(0, len(found) - 1)) // PAGE * PAGE
    return _Page(group, len(found), first, found[first : first + PAGE])


def _request_scores(scores: ImageScores, images: list[OfferedImage]) -> bool:
    """Whether scores of the images are being worked out, after that has begun where it had not."""
    missing = scores.missing(images)
    if not missing:
        return False
    key = _SCORES, *scores.network, scores.scaling, tuple((image.key, image.truth_key) for image in images)
    claim = request(_SCORES, key, lambda progress: scores.compute(missing, progress), "Images scored")
    return not (claim.is_cancelled or claim.computation.done())


def _hint(image: OfferedImage, segmenter: Segmenter) -> str:
    """Why the network does not take an image as it is; "" where it does."""
    if image.fits(segmenter):
        return ""
    if image.channels is None:
        return "cannot be read"
    channels = "1 channel" if image.channels == 1 else f"{image.channels} channels"
    return channels if image.is_convertible(segmenter) else f"{channels}, does not fit"


def _take(key: str, offered: Mapping[str, OfferedImage]) -> None:
    asked = _asked(key)
    if key == "gallery" and not asked.get("open"):
        cancel_unless(_SCORES, lambda _key: False)
    picked, answered = asked.get("picked"), f"_{key}_answered"
    # The pick stays in what the browser asks for, so it is told from the next one by its time.
    if isinstance(picked, Mapping) and picked.get("time") != st.session_state.get(answered):
        st.session_state[answered] = picked.get("time")
        if picked.get("name") in offered:
            forget_errors()
            choose_image(picked["name"])
