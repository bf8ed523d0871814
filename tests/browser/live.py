"""The live maps that a viewer paints, one after another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

from tests.browser.viewer import Viewer

PHANTOM = "?image=vessels/phantom_00"
_WATCH = """withMaps => {
    window.paints = []
    document.addEventListener('painted', event => {
        const {viewer} = event.composedPath()[0], map = viewer.maps.get('map'), {samples} = viewer.painted
        window.paints.push({...event.detail, samples, ...(withMaps && {
            top: map.top, left: map.left, height: map.height, width: map.width, values: Array.from(map.signed),
        })})
    })
}"""


class LiveViewer(Viewer):
    """The viewer of a page that is opened here; it notes each live map that is painted.

    Args:
        page: A tab.
        address: Of the app; None for a page that is open.
        query: Of the page.
        live: Whether the channel gets through.
        with_maps: Whether the values of the maps are noted too.
    """

    def __init__(
        self, page: Page, address: str | None, query: str = PHANTOM, *, live: bool = True, with_maps: bool = True
    ) -> None:
        super().__init__(page)
        if address is not None:
            page.goto(f"{address}/{query}")
        self.wait(live=live)
        expect(self.root).to_have_attribute("data-live", "on" if live else "off")
        page.evaluate(_WATCH, with_maps)

    @property
    def token(self) -> str:
        """The token of its channel."""
        return str(self.run("viewer.channel.token"))

    def paints(self) -> list[dict[str, Any]]:
        """What was painted so far: row, column, milliseconds since it was asked for, `at` (ms) and samples."""
        return self.page.evaluate("window.paints")


def whole_map(painted: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """A painted map as (H, W)."""
    values = np.zeros(size)
    top, left, height, width = (painted[name] for name in ("top", "left", "height", "width"))
    values[top : top + height, left : left + width] = np.reshape(painted["values"], (height, width))
    return values


def assert_equal_maps(painted: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-6 of the maximum."""
    np.testing.assert_allclose(painted, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def nearest(painted: np.ndarray, answers: Sequence[np.ndarray]) -> np.ndarray:
    """The one of a few answers that is nearest to a painted map.

    A pixel is computed on its window or, before the server knows that, on the whole image. The two differ by the
    rounding of float32, which a probability near 0 or 1 magnifies.
    """
    return min(answers, key=lambda answer: float(np.abs(painted - answer).max()))
