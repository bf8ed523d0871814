"""Maps side by side: groups of pictures with a title and a line below, each of them a button."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

_CSS = """
.gallery {font-family: var(--st-font, sans-serif); color: var(--st-text-color); padding: 3px 11px}
.group {margin-bottom: 14px}
.group.apart {border: 1px dashed color-mix(in srgb, var(--st-text-color) 35%, transparent); border-radius: 8px;
  padding: 8px 9px 10px; margin: 0 -10px}
.heading {font-size: 13px; font-weight: 600; margin-bottom: 6px}
.heading small {font-weight: 400; font-size: 12px; opacity: .72; margin-left: 8px}
.tiles {display: grid; grid-template-columns: repeat(auto-fill, minmax(var(--tile), 1fr)); gap: 12px 10px}
button {all: unset; box-sizing: border-box; cursor: pointer; display: block; min-width: 0; border-radius: 6px}
.picture {display: block; width: 100%; background: color-mix(in srgb, var(--st-text-color) 9%, transparent);
  border-radius: 4px; object-fit: fill}
button:hover .picture {outline: 2px solid var(--st-text-color)}
button:focus-visible .picture {outline: 2px dashed var(--st-primary-color); outline-offset: 1px}
button[aria-pressed=true] .picture {outline: 3px solid var(--st-primary-color)}
.title {font-size: 12.5px; line-height: 1.25; margin-top: 5px; overflow-wrap: anywhere}
button[aria-pressed=true] .title {color: var(--st-primary-color); font-weight: 600}
.caption {font-size: 11px; opacity: .72; line-height: 1.3}
button:disabled {cursor: default; opacity: .6}
button:disabled .picture {animation: waiting 1.4s ease-in-out infinite alternate; outline: none !important}
@keyframes waiting {from {opacity: .35} to {opacity: 1}}
@media (prefers-reduced-motion: reduce) {button:disabled .picture {animation: none}}
"""

_JS = """
export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".gallery")
  const element = (tag, className, text) => {
    const made = document.createElement(tag)
    made.className = className
    if (text !== undefined) made.textContent = text
    return made
  }
  const focused = parentElement.activeElement?.dataset?.name
  root.style.setProperty("--tile", `${data.tile}px`)
  const groups = data.groups.map(group => {
    const box = element("div", "group" + (group.apart ? " apart" : ""))
    if (group.heading) {
      const heading = element("div", "heading", group.heading)
      if (group.note) heading.append(element("small", "", group.note))
      box.append(heading)
    }
    const tiles = element("div", "tiles")
    for (const tile of group.tiles) {
      const button = element("button", "")
      const picture = tile.picture ? element("img", "picture") : element("div", "picture")
      if (tile.picture) {
        picture.src = `data:image/png;base64,${tile.picture}`
        picture.alt = ""
      } else button.disabled = true
      picture.style.aspectRatio = data.aspect
      button.dataset.name = tile.name
      button.title = tile.title
      button.setAttribute("aria-label", `Show ${tile.title}`)
      button.setAttribute("aria-pressed", tile.name === data.shown)
      button.append(picture, element("div", "title", tile.title), element("div", "caption", tile.caption))
      button.onclick = () => setTriggerValue("picked", tile.name)
      tiles.append(button)
    }
    box.append(tiles)
    return box
  })
  root.replaceChildren(...groups)
  if (focused) root.querySelector(`[data-name="${focused}"]`)?.focus({preventScroll: true})
}
"""

_gallery = st.components.v2.component("trust_gallery", html='<div class="gallery"></div>', css=_CSS, js=_JS)


@dataclass(frozen=True)
class Tile:
    """One picture of the gallery.

    Attributes:
        name: Name that is picked when it is pressed.
        title: Title below the picture.
        caption: Line below the title.
        picture: A PNG file in base64; empty where it is still being made.
    """

    name: str
    title: str
    caption: str
    picture: str


@dataclass(frozen=True)
class Group:
    """Pictures that belong together.

    Attributes:
        heading: Heading above them; empty for none.
        note: Note beside the heading.
        tiles: The pictures.
        apart: Within a frame of its own.
    """

    heading: str
    note: str
    tiles: tuple[Tile, ...]
    apart: bool = False


def gallery(groups: Sequence[Group], shown: str, aspect: float, pick: Callable[[str], None], key: str) -> None:
    """Show groups of pictures.

    Args:
        groups: From the top.
        shown: Name of the tile that is shown large elsewhere.
        aspect: Width of a picture by its height.
        pick: Called with a tile's name when it is pressed, before the page is run.
        key: Key of the component.
    """

    def take() -> None:
        name = st.session_state[key].picked
        if name is not None:
            pick(str(name))

    _gallery(
        key=key,
        data={
            "groups": [asdict(group) for group in groups],
            "shown": shown,
            "aspect": aspect,
            "tile": 112 if aspect < 1.5 else 132,
        },
        on_picked_change=take,
    )
