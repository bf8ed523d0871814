"""The viewer in a browser tab, driven as a hand would."""

import re
from functools import partial
from typing import Any

import numpy as np
from playwright.sync_api import Page

from tests.browser.app import eventually, wait_for_rest
from tests.pages.viewer_data import value_of


class Viewer:
    """The viewer with a panel of some title on a page."""

    def __init__(self, page: Page, panel: str = "Image") -> None:
        self.page = page
        self.root = page.locator(".viewer", has=page.locator(f'canvas[data-panel="{panel}"]'))
        self.canvas = self.root.locator(f'canvas[data-panel="{panel}"]')

    def wait(self, *, live: bool = True) -> "Viewer":
        """Until all layers are there, the channel is open and the page is at rest."""
        selector = '.viewer[data-ready="true"]' + ('[data-live="on"]' if live else "")
        self.page.locator(selector).first.wait_for(state="attached")
        wait_for_rest(self.page)
        return self

    def wait_for_size(self, rows: int, columns: int) -> "Viewer":
        """Until an image of this size is shown: the page may be at rest before its last scene is drawn."""

        def shown() -> None:
            assert self.run("viewer.scene.size") == [rows, columns]

        eventually(self.page, shown)
        return self

    def run(self, expression: str, argument: object = None) -> Any:
        """The value of a JavaScript expression of `viewer` and `argument`."""
        return self.root.evaluate(
            f"(root, argument) => {{ const viewer = root.viewer; return {expression} }}", argument
        )

    def aim(self, row: int, column: int) -> tuple[int, int]:
        """A whole CSS pixel well inside an image pixel, or in the middle of one that is small."""

        def middle() -> tuple[int, int]:
            # In one evaluation, since a new scene may bring new canvases.
            x, y, height = self.canvas.evaluate(
                """(canvas, [row, column]) => {
                    const viewer = canvas.closest(".viewer").viewer
                    const frame = canvas.getBoundingClientRect()
                    const [from, to] = [viewer.toScreen(row, column), viewer.toScreen(row + 1, column + 1)]
                    return [frame.x + (from[0] + to[0]) / 2, frame.y + (from[1] + to[1]) / 2, frame.height]
                }""",
                [row, column],
            )
            assert height > 0  # else it has just been replaced
            return round(x), round(y)

        return eventually(self.page, middle)

    def hover(self, row: int, column: int) -> tuple[int, int]:
        """Move over a pixel and wait for its live map; the pixel that the viewer says was hit."""
        self.page.mouse.move(*self.aim(row, column))
        while True:
            aim = self.aim(row, column)
            self.page.mouse.move(*aim)
            hit = self.wait_for_live()
            if self.aim(row, column) == aim:  # else what stands above has come or gone meanwhile
                return hit

    def wait_for_live(self) -> tuple[int, int]:
        """Until the map on screen is that of the pixel under the pointer."""

        def painted() -> tuple[int, int]:
            pixel = self.run("viewer.hover && [...viewer.hover]")
            shown = self.run("viewer.painted && [viewer.painted.row, viewer.painted.column]")
            assert pixel is not None
            assert pixel == shown
            return pixel[0], pixel[1]

        return eventually(self.page, painted)

    def click(self, row: int, column: int) -> tuple[int, int]:
        """Click a pixel, and wait until the page has taken it."""
        hit = self.hover(row, column)
        self.page.mouse.down()
        self.page.mouse.up()
        self.wait_for_pixel(*hit)
        return hit

    def drag(self, *corners: tuple[int, int]) -> None:
        """Hold the button down along pixels of the image."""
        self.page.mouse.move(*self.aim(*corners[0]))
        self.page.mouse.down()
        for corner in corners[1:]:
            self.page.mouse.move(*self.aim(*corner), steps=5)
        self.page.mouse.up()

    def wait_for_pixel(self, row: int, column: int) -> None:
        """Until the page explains this pixel."""

        def taken() -> None:
            assert self.run("viewer.scene.pixel") == [row, column]

        eventually(self.page, taken)
        wait_for_rest(self.page)

    def leave(self) -> None:
        """Move the pointer off the viewer."""
        self.page.mouse.move(2, 2)
        eventually(self.page, self._has_left)

    def _has_left(self) -> None:
        assert self.run("viewer.hover") is None

    def values(self, layer: str, size: tuple[int, int]) -> np.ndarray:
        """The map of a layer as it is on screen, (H, W)."""
        found = self.run(
            "(map => map && {values: [...map.signed], shape: [map.height, map.width], corner: [map.top, map.left]})"
            "(viewer.mapOf(viewer.named(argument)))",
            layer,
        )
        assert found is not None
        whole = np.zeros(size, np.float32)
        (height, width), (top, left) = found["shape"], found["corner"]
        whole[top : top + height, left : left + width] = np.reshape(found["values"], (height, width))
        return whole

    def colour(self, panel: str, row: float, column: float) -> tuple[int, ...]:
        """Red, green and blue in the middle of an image pixel, as painted below the marks."""
        return tuple(
            self.root.evaluate(
                """(root, [panel, row, column]) => {
                    const viewer = root.viewer, [x, y] = viewer.toScreen(row + 0.5, column + 0.5)
                    const canvas = root.querySelector(`canvas[data-panel="${panel}"]`).previousElementSibling
                    const ratio = canvas.width / viewer.width
                    const at = [x, y].map(value => Math.floor(value * ratio))
                    return [...canvas.getContext('2d').getImageData(...at, 1, 1).data]
                }""",
                [panel, row, column],
            )[:3]
        )

    def numbers(self) -> dict[str, str]:
        """The numbers below the panels by name."""
        return dict(
            self.root.locator(".numbers > div").evaluate_all(
                "cells => cells.map(cell => [cell.firstChild.textContent, cell.lastChild.textContent])"
            )
        )

    def number(self, name: str) -> float:
        """One of the numbers."""
        return value_of(self.numbers()[name].replace(",", "").removesuffix(" %").removesuffix(" px"))

    def zoom(self, scale: float, row: int, column: int) -> None:
        """Turn the wheel over a pixel until one image pixel takes `scale` times its first size."""
        start = float(self.run("viewer.zoom"))
        self.page.mouse.move(*self.aim(row, column))
        for _ in range(60):
            if float(self.run("viewer.zoom")) >= scale * start:
                break
            before = self.run("viewer.zoom")
            self.page.mouse.wheel(0, -120)
            eventually(self.page, partial(self._has_zoomed, before))

    def _has_zoomed(self, before: object) -> None:
        assert self.run("viewer.zoom") != before

    def readout(self) -> str:
        """The line of values under the pointer."""
        return re.sub(r"\s+", " ", self.root.locator(".readout").inner_text())
