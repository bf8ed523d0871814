"""The viewer component: mounts a scene, and tells the page what was chosen in it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from core.display.colours import DIVERGING, SEQUENTIAL, STOPS
from core.drawn_regions import DrawnPart, parts_text
from widgets.shared.component import component
from widgets.shared.in_order import in_order
from widgets.shared.pixel_state import set_pixel, shown_pixel
from widgets.viewer.arrays import files_of
from widgets.viewer.channel import Answer, Live, Request, open_channel
from widgets.viewer.controls import Control, in_address, keep_settings, keep_texts, values_of
from widgets.viewer.regions import keep_region
from widgets.viewer.scene import Grid, Paint, Panel, Pin, Recipe, Words

Tool = Literal["point", "box", "lasso", "brush", "paint"]
_BLUE_TO_RED_ON_DARK = "c5e3ff 7fc1ff 3d9bff 1f62ad 1a3557 15181d 571f1f b02f2f ff4d4d ff8f86 ffd0ca"
SCALES = {
    DIVERGING: [[f"#{colour}" for colour in text.split()] for text in (STOPS[DIVERGING], _BLUE_TO_RED_ON_DARK)],
    SEQUENTIAL: [[f"#{colour}" for colour in STOPS[SEQUENTIAL].split()]] * 2,
}
"""Colours of the scales on light and on dark ground; where a signed map is 0 it takes the ground's brightness."""
_REFUSED = "_entries_of_removed_images"
"""Key in the session state of how often Back led to an image that is gone: a scene told anew puts the address right."""
_HERE = Path(__file__).parent
_SCRIPTS = "saving.js", "report.js", "painting.js", "viewer.js"
_HTML = """
<div class="viewer"><p class="stuck">The viewer needs a browser of 2023 or later.
<a href="?viewer=plain" target="_self">Show the Pixel Explorer in plain pictures</a>.</p></div>
"""
"""What stands there until the viewer runs, invisible for its first seconds."""
_component = component("viewer", _HTML, _HERE / "viewer.css", [_HERE / name for name in _SCRIPTS])


def viewer(
    key: str,
    panels: Sequence[Panel],
    size: tuple[int, int],
    image_key: str,
    *,
    name: str = "",
    controls: Sequence[Control] = (),
    settings: Mapping[str, Any] | None = None,
    pixel: tuple[int, int] | None = None,
    pins: Sequence[Pin] | None = None,
    parts: Sequence[DrawnPart] = (),
    tools: Sequence[Tool] = ("point",),
    live: Live | None = None,
    paint: Paint | None = None,
    words: Words | None = None,
    recipe: Recipe | None = None,
    has_position: bool = False,
    names_class: bool = False,
    is_compact: bool = False,
    grid: Grid | None = None,
    on_pins: Callable[[list[tuple[int, int]]], None] | None = None,
    on_choose: Callable[[str], None] | None = None,
) -> None:
    """Show linked panels of one image. What is chosen in them is kept as the page's state before its next run.

    A pixel becomes that of `widgets.shared.pixel_state`, a region that of `widgets.viewer.regions`, a value that of its
    control. The page's address follows in the browser: a chosen pixel is an entry of its history.

    Args:
        key: Key of the component.
        panels: Linked pictures.
        size: (height, width) of the image.
        image_key: Names the image: the zoom is kept while it stays the same.
        name: Name of the image, which the names of saved pictures begin with.
        controls: Controls in the viewer.
        settings: Their values, from `settings_of`.
        pixel: Row and column of the pixel that is explained.
        pins: Pixels kept for comparison; None where there are none to keep.
        parts: The region drawn so far.
        tools: Tools for the pointer, the first of them at first; without any it zooms and reads values off.
        live: What a pointer position means; None where nothing follows the pointer.
        paint: What is painted on; then `live` answers what the hand does.
        words: What is said about the chosen pixel or the map.
        recipe: How the map is made again, for its report; without one no report is offered.
        has_position: Whether row and column can be typed.
        names_class: Whether the pixel is not what is explained but says of which class.
        is_compact: Many small panels instead of a few large ones; values are read off the one under the pointer.
        grid: Headings of rows and columns of compact panels; None to lay them out by the width.
        on_pins: Keeps the pins.
        on_choose: Called with the name of a panel that is chosen, before the next run.
    """
    settings = settings or {}
    address: dict[str, str | None] = in_address(controls, settings)
    if pixel is not None or {"row", "column"} & set(st.query_params):  # else one of an image that was left would stay
        row, column = pixel or shown_pixel()
        address |= {"row": str(row), "column": str(column)}
    if pins is not None:
        address["pins"] = ";".join(f"{pin.row},{pin.column}" for pin in pins) or None
    mode = None if paint is not None else next((tool for tool in tools if tool != "point"), None)
    if mode is not None:
        address[mode] = parts_text(parts) or None
    token = None if live is None else open_channel(key, _with_checked_settings(live, controls, settings))
    with files_of(key):
        data = {
            "id": image_key,
            "key": key,
            "name": name,
            "size": list(size),
            "panels": [panel.describe() for panel in panels],
            "scales": SCALES,
            "controls": [control.describe() for control in controls],
            "settings": dict(settings),
            "pixel": None if pixel is None else list(pixel),
            "pins": None if pins is None else [pin.describe() for pin in pins],
            "region": [part.describe() for part in parts],
            "tools": list(tools),
            "tool": tools[0] if tools else "none",
            "mode": mode,
            "live": None if live is None else {"token": token, "refine": list(live.refine)},
            "revision": None if live is None else live.revision,
            "paint": None if paint is None else paint.describe(),
            "words": (words or Words()).describe(),
            "recipe": None if recipe is None else recipe.describe(),
            "position": "class" if has_position and names_class else has_position,
            "compact": is_compact,
            "grid": None if grid is None else grid.describe(),
            "address": address,
            "refused": st.session_state.get(_REFUSED, 0),
        }
    keep = partial(_keep, key, controls=controls, on_pins=on_pins)

    def choose() -> None:
        name = st.session_state[key].get("chosen")
        if on_choose is not None and name in [panel.name or panel.title for panel in panels if panel.is_choosable]:
            on_choose(name)

    _component(
        key=key, data=in_order(key, data), on_picked_change=keep, on_settings_change=keep, on_drawn_change=keep,
        on_restored_change=keep, on_chosen_change=choose,
    )  # fmt: skip


def _with_checked_settings(live: Live, controls: Sequence[Control], settings: Mapping[str, Any]) -> Live:
    """The same; what a request says that is no value of a control is that of `settings`, as Python knows it."""

    def respond(request: Request) -> Answer:
        return live.respond(replace(request, settings={**settings, **values_of(controls, request.settings)}))

    return replace(live, respond=respond)


def _keep(key: str, *, controls: Sequence[Control], on_pins: Callable[[list[tuple[int, int]]], None] | None) -> None:
    """Keep what the browser reports, before the page runs again."""
    state = st.session_state[key]
    if (texts := state.get("restored")) is not None:  # first: what else was chosen is newer
        _restore(texts, controls, on_pins)
    if (picked := state.get("picked")) is not None:
        set_pixel(int(picked["row"]), int(picked["column"]))
        if on_pins is not None:
            on_pins([(int(row), int(column)) for row, column in picked["pins"] or ()])
    if (settings := state.get("settings")) is not None:
        keep_settings(controls, settings)
    if (drawn := state.get("drawn")) is not None:
        keep_region(drawn["tool"], [DrawnPart.from_description(part) for part in drawn["parts"]])


def _restore(
    texts: Mapping[str, str | None],
    controls: Sequence[Control],
    on_pins: Callable[[list[tuple[int, int]]], None] | None,
) -> None:
    """Keep what the address says after the user went back or forward, if its image is still there."""
    if texts.get("image") not in (None, st.session_state.get("image")):
        st.session_state[_REFUSED] = st.session_state.get(_REFUSED, 0) + 1
        return
    keep_texts(controls, texts)
    row, column = (texts.get(name) or "" for name in ("row", "column"))
    if row.isdecimal() and column.isdecimal():
        set_pixel(int(row), int(column))
    if on_pins is not None and "pins" in texts:
        on_pins(pins_of(texts["pins"] or ""))
    for mode in ("box", "lasso"):
        if mode in texts:
            st.session_state[mode] = texts[mode] or ""


def pins_of(text: str) -> list[tuple[int, int]]:
    """The pins in a text such as "12,40;33,90"; what is no pixel is left out."""
    found = (re.fullmatch(r"(\d{1,6}),(\d{1,6})", piece) for piece in text.split(";"))
    return [(int(match[1]), int(match[2])) for match in found if match]
