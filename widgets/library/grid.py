"""A grid of thumbnails with their masks, of which only what is in view is made and sent."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.data.browsing import ListedImage
from widgets.shared.component import TILES, component
from widgets.shared.in_order import in_order
from widgets.shared.results import Claim
from widgets.shared.thumbnails import HEIGHT, WIDTH, Thumbnail, is_made, request_pictures, served

MOST_IN_VIEW = 400
"""Tiles that are made for one view, however large the browser says it is."""
_FIRST_VIEW = 40
"""Tiles that are sent before the browser has said what is in view."""
_PATIENCE = 1.0
_FOLDER = Path(__file__).parent
_component = component("data_set_grid", '<div class="grid"></div>', _FOLDER / "grid.css", (TILES, _FOLDER / "grid.js"))
_Claims = tuple[Claim[Thumbnail], Claim[Thumbnail] | None]


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture, or two beside each other.

    Attributes:
        images: The images.
        label: The line under them.
        note: The second line.
    """

    images: tuple[ListedImage, ...]
    label: str
    note: str = ""


@st.fragment
def grid(key: str, tiles: Sequence[Tile], open_image: Callable[[ListedImage], object]) -> None:
    """The tiles, each of whose pictures can be opened.

    A fragment of its own: what comes into view is made while the page goes on.

    Args:
        key: Key of the component.
        tiles: All tiles, in order, with equally many images each.
        open_image: Called in a run of the page with the image that was clicked.
    """
    version = _version(tiles)
    asked = _asked(key)
    first, count = 0, _FIRST_VIEW
    if asked.get("version") == version:
        first, count = _number(asked.get("first")), min(MOST_IN_VIEW, _number(asked.get("count")))
    in_view = tiles[first : first + count]
    claims = {id(image): request_pictures(image) for tile in in_view for image in tile.images}
    _cancel_others(key, claims)
    all_claims = [claim for pair in claims.values() for claim in pair if claim is not None]
    if asked.get("tick"):
        wait([claim.computation for claim in all_claims], _PATIENCE)
    _component(
        key=key,
        data=in_order(key, {
            "version": version, "count": len(tiles), "first": first,
            "items": [_item(tile, claims, key) for tile in in_view],
            "perTile": max((len(tile.images) for tile in tiles[:1]), default=1), "width": WIDTH, "height": HEIGHT,
            "hasMasks": any(image.mask is not None for tile in tiles for image in tile.images),
            "waiting": not all(claim.computation.done() for claim in all_claims),
        }),
        default={"asked": {}},
        on_asked_change=lambda: None,
        on_opened_change=lambda: None,
    )  # fmt: skip
    opened = getattr(st.session_state.get(key), "opened", None)
    if opened is not None:
        for image in (image for tile in tiles for image in tile.images):
            if image.name == opened:
                open_image(image)
                break


def _item(tile: Tile, claims: Mapping[int, _Claims], key: str) -> dict[str, Any]:
    pictures = []
    for image in tile.images:
        picture, overlay = claims[id(image)]
        about: dict[str, Any] = {"name": image.name, "label": image.name, **served(f"{key}-{image.name}", picture)}
        if overlay is not None and is_made(overlay):
            about["mask"] = served(f"{key}-mask-{image.name}", overlay)["url"]
        pictures.append(about)
    cannot = any(claims[id(image)][0].computation.done() and not is_made(claims[id(image)][0]) for image in tile.images)
    return {"label": tile.label, "note": "cannot be read" if cannot else tile.note, "pictures": pictures}


def _asked(key: str) -> dict[str, Any]:
    asked = getattr(st.session_state.get(key), "asked", None)
    return dict(asked) if isinstance(asked, Mapping) else {}


def _number(value: object) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def _version(tiles: Sequence[Tile]) -> str:
    """Changes with the order of the tiles: what the browser knows by their places is of no use then."""
    told = hashlib.sha256()
    for tile in tiles:
        told.update("".join(f"{image.image}\n" for image in tile.images).encode())
    return told.hexdigest()


def _cancel_others(key: str, claims: Mapping[int, _Claims]) -> None:
    """Do not make what was scrolled out of view before its turn came."""
    mine = [claim for pair in claims.values() for claim in pair if claim is not None]
    for claim in st.session_state.get(f"_{key}_claims", ()):
        claim.cancel()  # what is in view still has its new claim
    st.session_state[f"_{key}_claims"] = mine
