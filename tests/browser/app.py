"""The app in a process of its own, and a headless Chromium to drive it."""

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from playwright.sync_api import Browser, Error, Locator, Page, ViewportSize, sync_playwright

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT: ViewportSize = {"width": 1440, "height": 1000}
PATIENCE = 120_000
"""Milliseconds: waits are for states, so only a test that fails takes so long."""


@contextmanager
def running_app(seconds: float = 120, script: str = "app.py", **environment: str) -> Iterator[str]:
    """The address of the app, or of another script, on a free port of this machine, with changes to the environment."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "streamlit", "run", script, "--server.headless", "true", "--server.port", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_until_healthy(f"http://localhost:{port}/_stcore/health", process, seconds)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium where it is installed, else Playwright's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


def eventually(page: Page, check: Callable[[], Result]) -> Result:
    """What `check` returns, once what it looks for is on screen: until then it raises."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            return check()
        except (AssertionError, Error, LookupError, ValueError):
            if time.monotonic() > deadline:
                raise
        page.wait_for_timeout(50)


def wait_for_rest(page: Page) -> None:
    """Until no script runs and nothing on screen is of an earlier run.

    A change reaches the server only after the browser has sent it: wait for something that the change shows first.
    """
    page.wait_for_function(
        """() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
            && !document.querySelector('[data-stale=true]')"""
    )


def numbers(page: Page) -> dict[str, str]:
    """The numbers on screen by name."""
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('[data-testid=stMetric]')].map(metric =>
            ['Label', 'Value'].map(part => metric.querySelector(`[data-testid=stMetric${part}]`).innerText)))"""
    )


def wait_for_numbers(page: Page, **expected: str) -> None:
    """Until the screen shows these texts under these names."""

    def check() -> None:
        assert numbers(page).items() >= expected.items()

    eventually(page, check)


def heat_map(page: Page) -> tuple[np.ndarray, int, int]:
    """The values of the first heat map as the browser has them, and the row and column of the first value."""
    heat = page.evaluate(
        """() => {
            const heat = [...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.data[0])
                .find(trace => trace.type === 'heatmap')
            return {bytes: heat.z.bdata, type: heat.z.dtype, shape: heat.z.shape, top: heat.y0, left: heat.x0}
        }"""
    )
    values = np.frombuffer(base64.b64decode(heat["bytes"]), dtype=heat["type"])
    return values.reshape([int(n) for n in heat["shape"].split(",")]), heat["top"], heat["left"]


def clickable_picture(page: Page) -> Locator:
    """The picture that takes clicks."""
    return page.frame_locator("iframe").locator(".nsewdrag").first


def click(page: Page, aim: Callable[[], tuple[tuple[float, float], tuple[int, int] | None]]) -> tuple[int, int]:
    """Click the picture as a hand does: Plotly takes a click only where it has seen the pointer hover.

    Args:
        page: With a clickable picture.
        aim: Gives x and y on the page, and the row and column there or None for any; called again until the label
            under the pointer names them, since a page may still move.

    Returns:
        The row and column that the label names.
    """

    def hover() -> tuple[int, int]:
        place, expected = aim()
        page.mouse.move(0, 0)
        page.mouse.move(*place)
        label = page.frame_locator("iframe").locator(".hovertext").first.text_content(timeout=2000)
        row, column = map(int, re.findall(r"\d+", label or "")[:2])
        assert expected in {None, (row, column)}
        return row, column

    pixel = eventually(page, hover)
    page.mouse.down()
    page.mouse.up()
    return pixel


_DOUBLE_CLICK_IS_OVER = """async layer => {
    const plot = layer.closest('.js-plotly-plot')
    while (Date.now() - plot._mouseDownTime <= plot._context.doubleClickDelay) await new Promise(requestAnimationFrame)
}"""
"""Plotly takes a click soon after a drag for the second of a double click, which resets the zoom."""


def drag(page: Page, plot: Locator, corners: list[tuple[float, float]]) -> None:
    """Hold the button down along (x, y), each a share of the plot's width and height."""
    plot.hover()  # waits until it moves no more
    frame = plot.bounding_box()
    assert frame is not None
    points = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()
    plot.evaluate(_DOUBLE_CLICK_IS_OVER)


class Explorer:
    """The Pixel Explorer in a browser tab, driven as a person would."""

    def __init__(self, page: Page, address: str, query: str = "") -> None:
        self.page = page
        page.goto(f"{address}/{query}")
        self.wait()

    def wait(self) -> None:
        """Until the numbers and the picture are on screen and no run is under way."""
        self.page.get_by_test_id("stMetric").first.wait_for()
        clickable_picture(self.page).wait_for()
        wait_for_rest(self.page)

    def click(self, row: int, column: int, shape: tuple[int, int]) -> tuple[int, int]:
        """Click where (row, column) of the unzoomed picture lies; the pixel that was hit, told by geometry alone."""
        return click(self.page, lambda: self._aim(row, column, shape))

    def _aim(self, row: int, column: int, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        frame = clickable_picture(self.page).bounding_box()
        assert frame is not None
        y, hit_row = _well_inside(row, frame["y"], frame["height"] / shape[0])
        x, hit_column = _well_inside(column, frame["x"], frame["width"] / shape[1])
        return (x, y), (hit_row, hit_column)

    def pixel(self) -> tuple[int, int]:
        """What the number inputs say."""
        return (
            int(self.page.get_by_label("Row", exact=True).input_value()),
            int(self.page.get_by_label("Column", exact=True).input_value()),
        )

    def wait_for_pixel(self, row: int, column: int) -> None:
        """Until the sentence at the top speaks of this pixel, and the page is at rest."""
        self.page.locator(f"p:has-text('At row {row}, column {column} the network says')").wait_for()
        self.wait()

    def choose(self, label: str, shows: str) -> None:
        """Press a segment of a segmented control, and wait until a text is on screen and the page at rest."""
        self.page.get_by_role("radio", name=label, exact=True).click()
        self.page.get_by_text(shows).first.wait_for()
        self.wait()


def _well_inside(index: int, start: float, size: float) -> tuple[int, int]:
    """A whole CSS pixel near the middle of the picture's pixel `index`, far from its neighbours, and which it hit."""
    for candidate in sorted(range(max(index - 12, 0), index + 12), key=lambda other: abs(other - index)):
        position = round(start + (candidate + 0.5) * size)
        hit = int(position - start) / size  # inside a frame that starts between two CSS pixels, the pointer is floored
        if 0.25 < hit - int(hit) < 0.75:
            return position, int(hit)
    raise AssertionError(f"No whole CSS pixel lies well inside a pixel near {index}.")


def _wait_until_healthy(url: str, process: subprocess.Popen, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The app ended with exit code {process.returncode}.")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - this machine's own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"The app did not answer within {seconds} seconds.")
