"""The atlas on screen: a grid of thumbnails, each of them a button."""

import base64
from collections.abc import Callable, Sequence

import streamlit as st

_CSS = """
.scroll {overflow-x: auto; padding: 2px 2px 6px; font-family: var(--st-font, sans-serif); color: var(--st-text-color)}
.grid {display: grid; gap: 4px; align-items: center; width: max-content; max-width: 100%}
.layer {font-size: 11px; line-height: 1.2; text-align: center; align-self: end; overflow-wrap: anywhere}
.layer small {display: block; opacity: .65; font-size: 10px; white-space: nowrap}
.method {font-size: 12px; text-align: right; padding-right: 6px; white-space: nowrap; position: sticky; left: 0;
  background: var(--st-background-color); z-index: 1}
.shown {color: var(--st-primary-color); font-weight: 600}
button {all: unset; display: block; box-sizing: border-box; width: 100%; cursor: pointer; border-radius: 3px;
  background-size: calc(100% * var(--columns)) calc(100% * var(--rows)); position: relative}
button:hover {outline: 2px solid var(--st-text-color)}
button:focus-visible {outline: 2px dashed var(--st-primary-color); outline-offset: 1px}
button[aria-pressed=true] {outline: 3px solid var(--st-primary-color)}
button.warned::after {content: "!"; position: absolute; top: 2px; right: 2px; width: 13px; height: 13px;
  border-radius: 50%; background: #f2a541; color: #14171c; font: 700 10px/13px sans-serif; text-align: center}
"""

_JS = """
export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".scroll")
  const text = (className, content, title) => {
    const element = document.createElement("div")
    element.className = className
    element.textContent = content
    if (title) element.title = title
    return element
  }
  if (root.sprite !== data.sprite) {
    if (root.address) URL.revokeObjectURL(root.address)
    const bytes = Uint8Array.from(atob(data.sprite), letter => letter.charCodeAt(0))
    root.address = URL.createObjectURL(new Blob([bytes], {type: "image/png"}))
    root.sprite = data.sprite
  }
  const focused = parentElement.activeElement?.dataset?.place
  const {layers, methods} = data
  const grid = document.createElement("div")
  grid.className = "grid"
  grid.style.gridTemplateColumns = `max-content repeat(${layers.length}, minmax(44px, ${data.widest}px))`
  grid.style.setProperty("--columns", layers.length)
  grid.style.setProperty("--rows", methods.length)
  grid.append(text("", ""))
  layers.forEach((layer, j) => {
    const head = text("layer" + (j === data.shown[1] ? " shown" : ""), layer.label, layer.name)
    const size = document.createElement("small")
    size.textContent = layer.size
    head.append(size)
    grid.append(head)
  })
  methods.forEach((method, i) => {
    grid.append(text("method" + (i === data.shown[0] ? " shown" : ""), method))
    layers.forEach((layer, j) => {
      const button = document.createElement("button")
      const warning = data.warnings[`${i},${j}`]
      button.dataset.place = `${i},${j}`
      button.style.aspectRatio = data.aspect
      button.style.backgroundImage = `url(${root.address})`
      button.style.backgroundPosition = `${100 * j / Math.max(1, layers.length - 1)}% ` +
        `${100 * i / Math.max(1, methods.length - 1)}%`
      button.setAttribute("aria-label", `${method} at ${layer.name}`)
      button.setAttribute("aria-pressed", i === data.shown[0] && j === data.shown[1])
      button.title = `${method} at ${layer.name}` + (warning ? `\\n${warning}` : "")
      if (warning) button.classList.add("warned")
      button.onclick = () => setTriggerValue("picked", [i, j])
      grid.append(button)
    })
  })
  root.replaceChildren(grid)
  if (focused) root.querySelector(`[data-place="${focused}"]`)?.focus({preventScroll: true})
}
"""

_grid = st.components.v2.component("cam_atlas", html='<div class="scroll"></div>', css=_CSS, js=_JS)


def cam_grid(
    sprite: bytes,
    layers: Sequence[tuple[str, str]],
    methods: Sequence[str],
    shown: tuple[int, int],
    warnings: dict[tuple[int, int], str],
    aspect: float,
    pick: Callable[[int, int], None],
    key: str,
) -> None:
    """Show an atlas, one row per method and one column per layer.

    Args:
        sprite: All thumbnails in one PNG, in the same rows and columns.
        layers: Name and size of each column, for the headings.
        methods: Names of the rows.
        shown: (row, column) of the map that is shown large; -1 for none.
        warnings: Warning about a thumbnail, by (row, column).
        aspect: Width of a thumbnail by its height.
        pick: Called with (row, column) when a thumbnail is pressed, before the page is run.
        key: Key of the component.
    """

    def take() -> None:
        place = st.session_state[key].picked
        if place is not None:
            pick(int(place[0]), int(place[1]))

    _grid(
        key=key,
        data={
            "sprite": base64.b64encode(sprite).decode(),
            "layers": [{"name": name, "label": _short(name), "size": size} for name, size in layers],
            "methods": list(methods),
            "shown": list(shown),
            "warnings": {f"{row},{column}": sentence for (row, column), sentence in warnings.items()},
            "aspect": aspect,
            "widest": 88 if aspect < 1.5 else 116,
        },
        on_picked_change=take,
    )


def _short(name: str, parts: int = 2) -> str:
    """The end of a long dotted name, which can be broken at its dots."""
    pieces = name.split(".")
    shown = ".".join(pieces[-parts:])
    return ("…" if len(pieces) > parts else "") + shown.replace(".", ".\u200b").replace("_", "_\u200b")
