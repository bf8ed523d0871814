"""The app in a process of its own, and a headless Chromium to drive it."""

import base64
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Locator, Page, ViewportSize, sync_playwright

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


@contextmanager
def running_app(seconds: float = 120) -> Iterator[str]:
    """The address of the app, started on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true", "--server.port", str(port),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


class Explorer:
    """The Pixel Explorer in a browser tab, driven as a person would."""

    def __init__(self, page: Page, address: str, query: str = "") -> None:
        self.page = page
        page.goto(f"{address}/{query}")
        self.wait()

    def wait(self) -> None:
        """Until the numbers are on screen and no run is under way."""
        self.page.wait_for_selector("[data-testid=stMetric]", timeout=90_000)
        self._frame().wait_for()
        self.page.wait_for_function("!document.querySelector('[data-stale=true]')", timeout=60_000)
        self.page.wait_for_timeout(400)

    def click(self, row: int, column: int, shape: tuple[int, int]) -> tuple[int, int]:
        """Click where (row, column) of the unzoomed picture lies; the pixel that was hit, told by geometry alone."""
        frame = self._frame().bounding_box()
        assert frame is not None
        y, hit_row = _well_inside(row, frame["y"], frame["height"] / shape[0])
        x, hit_column = _well_inside(column, frame["x"], frame["width"] / shape[1])
        self.press(x, y, (hit_row, hit_column))
        return hit_row, hit_column

    def press(self, x: int, y: int, pixel: tuple[int, int]) -> None:
        """Click as a hand does: Plotly takes a click only where it has seen the pointer hover over `pixel`."""
        self.page.mouse.move(x, y)
        label = self.page.frame_locator("iframe").locator(f".hovertext:has-text('row {pixel[0]}, column {pixel[1]}')")
        label.wait_for(timeout=20_000)
        self.page.mouse.down()
        self.page.mouse.up()

    def pixel(self) -> tuple[int, int]:
        """What the number inputs say."""
        return (
            int(self.page.get_by_label("Row", exact=True).input_value()),
            int(self.page.get_by_label("Column", exact=True).input_value()),
        )

    def wait_for_pixel(self, row: int, column: int) -> None:
        """Until the sentence at the top speaks of this pixel, and the page is at rest."""
        self.page.locator(f"p:has-text('At row {row}, column {column} the network says')").wait_for(timeout=30_000)
        self.wait()

    def numbers(self) -> dict[str, str]:
        """The numbers on screen by name."""
        metrics = self.page.locator("[data-testid=stMetric]").all()
        return {
            metric.locator("[data-testid=stMetricLabel]").inner_text(): metric.locator(
                "[data-testid=stMetricValue]"
            ).inner_text()
            for metric in metrics
        }

    def map(self) -> tuple[np.ndarray, int, int]:
        """The values of the gradient map as the browser has them, and the row and column of the first."""
        heat = self.page.evaluate(
            """() => {
                const heat = [...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.data[0])
                    .find(trace => trace.type === 'heatmap')
                return {bytes: heat.z.bdata, type: heat.z.dtype, shape: heat.z.shape, top: heat.y0, left: heat.x0}
            }"""
        )
        values = np.frombuffer(base64.b64decode(heat["bytes"]), dtype=heat["type"])
        return values.reshape([int(n) for n in heat["shape"].split(",")]), heat["top"], heat["left"]

    def choose(self, label: str) -> None:
        """Press a segment of a segmented control, and wait."""
        self.page.get_by_role("radio", name=label, exact=True).click()
        self.page.wait_for_timeout(300)
        self.wait()

    def _frame(self) -> Locator:
        return self.page.frame_locator("iframe").locator(".nsewdrag").first


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
