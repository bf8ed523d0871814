"""Pinned class activation maps: kept in the address, and shown beside the chosen one."""

from collections.abc import Collection, Sequence

import streamlit as st

from core.attribution.cam import cam_methods
from widgets.cams.maps import Place
from widgets.shared.links import value_in_url, write_to_url

MOST_PINNED = 2
_KEY = "pinned"


def pinned_maps(layers: Collection[str]) -> list[Place]:
    """Layer and method of each pinned map, the oldest first; those that the network does not have are left out."""
    text = st.session_state.get(_KEY, value_in_url(_KEY) or "")
    found = [(layer, method) for method, _, layer in (piece.partition(":") for piece in text.split(","))]
    return [place for place in dict.fromkeys(found) if place[0] in layers and place[1] in cam_methods()][-MOST_PINNED:]


def pin_button(shown: Place, pinned: Sequence[Place]) -> None:
    """Pin the map that is shown large, or take its pin away."""
    is_pinned = shown in pinned
    kept = [place for place in pinned if place != shown] + ([] if is_pinned else [shown])
    label = "Unpin this map" if is_pinned else "Pin this map" if len(kept) <= MOST_PINNED else "Replace the oldest pin"
    icon = ":material/keep_off:" if is_pinned else ":material/keep:"
    st.button(label, key="pin_map", on_click=_keep, args=(kept,), icon=icon)
    write_to_url(_KEY, _text(pinned), "")


def _keep(pinned: Sequence[Place]) -> None:
    st.session_state[_KEY] = _text(pinned[-MOST_PINNED:])


def _text(pinned: Sequence[Place]) -> str:
    return ",".join(f"{method}:{layer}" for layer, method in pinned)
