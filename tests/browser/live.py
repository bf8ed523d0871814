"""A viewer in a browser tab, driven by the pointer, and the maps that it paints."""

from typing import Any

import numpy as np
from playwright.sync_api import Locator, Page, expect

PHANTOM = "?image=vessels/phantom_00"
WATCH = """() => {
    window.paints = []
    document.addEventListener('painted', event => {
        const {viewer} = event.composedPath()[0], map = viewer.maps.get('map'), {samples} = viewer.painted
        window.paints.push({...event.detail, samples, ...(window.withMaps && {
            top: map.top, left: map.left, height: map.height, width: map.width, values: Array.from(map.signed),
        })})
    })
}"""
"""Notes each live map that is painted; with its values while `withMaps` is set."""


class LiveViewer:
    """The viewer of a page that is open."""

    def __init__(self, page: Page, address: str, query: str = PHANTOM, live: str = "on", watch: bool = True) -> None:
        self.page = page
        page.goto(f"{address}/{query}")
        self.root.wait_for()
        self.wait_for("ready", "true")
        self.wait_for("live", live)
        page.evaluate(f"window.withMaps = {str(watch).lower()}")
        page.evaluate(WATCH)

    @property
    def root(self) -> Locator:
        """The element that says what is shown."""
        return self.page.locator(".viewer")

    def wait_for(self, name: str, value: Any) -> None:
        """Until the viewer says so."""
        expect(self.root).to_have_attribute(f"data-{name}", str(value))

    def place(self, row: float, column: float, panel: int = 0) -> tuple[float, float]:
        """Where the middle of a pixel lies on the page."""
        x, y = self.root.evaluate(
            """(root, [row, column, panel]) => {
                const {viewer} = root, frame = viewer.panels[panel].canvas.getBoundingClientRect()
                const [x, y] = viewer.toScreen(row + 0.5, column + 0.5)
                return [frame.x + x, frame.y + y]
            }""",
            [row, column, panel],
        )
        return x, y

    def move(self, row: int, column: int) -> None:
        """Move the pointer there, and wait for nothing."""
        self.page.mouse.move(*self.place(row, column))

    def hover(self, row: int, column: int, samples: int | str = "") -> None:
        """Move the pointer there until its map is painted."""
        self.move(row, column)
        self.wait_for_map(row, column, samples)

    def wait_for_map(self, row: int, column: int, samples: int | str = "") -> None:
        """Until the live map of this pixel is painted."""
        for name, value in {"row": row, "column": column, "samples": samples}.items():
            self.wait_for(name, value)

    def click(self, row: int, column: int) -> None:
        """Click the middle of a pixel."""
        self.move(row, column)
        self.page.mouse.down()
        self.page.mouse.up()

    def paints(self) -> list[dict[str, Any]]:
        """What was painted so far."""
        return self.page.evaluate("window.paints")

    def sent_map(self, size: tuple[int, int]) -> np.ndarray:
        """The map that Python sent, (H, W)."""
        found = self.root.evaluate(
            """root => {
                const {map} = root.viewer.named('map')
                return {top: map.top, left: map.left, height: map.height, width: map.width,
                    values: Array.from(map.signed)}
            }"""
        )
        return whole_map(found, size)


def whole_map(painted: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """A painted map as (H, W)."""
    values = np.zeros(size)
    top, left, height, width = (painted[name] for name in ("top", "left", "height", "width"))
    values[top : top + height, left : left + width] = np.reshape(painted["values"], (height, width))
    return values


def assert_equal_maps(painted: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-6 of the maximum."""
    np.testing.assert_allclose(painted, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
