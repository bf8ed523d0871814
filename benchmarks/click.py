"""From a click to a pinned pixel, and the threshold moved from end to end, in headless Chromium.

`python benchmarks/click.py`: a 256×256 sample image, the shipped vessel network, 20 clicks on different pixels. Both
ends are read from the browser's own clock: the pointer is lifted, and the frame is over in which the pin's card and the
block below the panels have the numbers of this pixel. Then the threshold's slider is dragged from end to end. The
targets are printed, not asserted.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import WebSocket

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: Streamlit imports a package named click

from tests.browser.app import PATIENCE, VIEWPORT, chromium, running_app, wait_for_rest
from tests.browser.live import LiveViewer

_WATCH_PIN = """root => {
    window.lifted = window.pinned = null
    document.addEventListener('pointerup', event => window.lifted = event.timeStamp, {capture: true, once: true})
    const look = () => {
        const [row, column] = root.viewer.chosen() ?? []
        const card = root.querySelector(`.pin button[aria-label$="row ${row}, column ${column}"]`)?.closest('.pin')
        const said = root.querySelector('.sentence').textContent.startsWith(`At row ${row}, column ${column} `)
        if (window.lifted && said && card?.querySelector('dd')?.textContent)
            requestAnimationFrame(() => window.pinned = performance.now())
        else requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
}"""


def milliseconds_to_pin(viewer: LiveViewer, row: int, column: int) -> float:
    """One click: the time until its pin and its numbers are on screen."""
    page = viewer.page
    viewer.hover(row, column)
    viewer.root.evaluate(_WATCH_PIN)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("window.pinned", timeout=PATIENCE)
    elapsed = float(page.evaluate("window.pinned - window.lifted"))
    wait_for_rest(page)
    return elapsed


def drag_threshold(viewer: LiveViewer, sent: list[float]) -> tuple[float, int, int]:
    """Drag the slider from end to end.

    Args:
        viewer: On a page.
        sent: Times of the messages to Python, which grows by itself.

    Returns:
        Frames painted in a second, messages sent before the hand is lifted, and those sent after it.
    """
    page = viewer.page
    page.mouse.move(2, 2)
    page.wait_for_timeout(500)  # what was asked before is over
    slider = viewer.root.locator('[data-control="threshold"] input[type=range]')
    slider.scroll_into_view_if_needed()
    left, right, y = slider.evaluate("""slider => {
        const frame = slider.getBoundingClientRect()
        return [frame.left, frame.right, frame.top + frame.height / 2]
    }""")
    first, last = left + 9, right - 9  # the middle of the knob at each end
    page.mouse.move(first, y)
    page.mouse.down()
    before, frames, started = len(sent), int(viewer.run("viewer.root.dataset.frames")), time.perf_counter()
    steps = 120
    for step in range(1, steps + 1):
        page.mouse.move(first + (last - first) * step / steps, y)
    seconds = time.perf_counter() - started
    painted = int(viewer.run("viewer.root.dataset.frames")) - frames
    while_held = len(sent) - before
    page.mouse.up()
    page.wait_for_timeout(1000)
    return painted / seconds, while_held, len(sent) - before - while_held


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=20)
    clicks = parser.parse_args().clicks
    generator = np.random.default_rng(0)
    aims = generator.integers(16, 240, (clicks + 2, 2)).tolist()
    sent: list[float] = []

    def watch(socket: WebSocket) -> None:
        if socket.url.endswith("/_stcore/stream"):
            socket.on("framesent", lambda _: sent.append(time.perf_counter()))

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; one thread of torch")
    with running_app(OMP_NUM_THREADS="1") as address, chromium() as browser:
        page = browser.new_page(viewport=VIEWPORT)
        page.set_default_timeout(PATIENCE)
        page.on("websocket", watch)
        viewer = LiveViewer(page, address, with_maps=False)
        times = [milliseconds_to_pin(viewer, *aim) for aim in aims][2:]  # the first two warm it up
        rate, while_held, after = drag_threshold(viewer, sent)
    print(f"{'':34}{'median':>9}{'min':>9}{'max':>9}   target")
    name, middle = f"click to pin, {len(times)} clicks, ms", statistics.median(times)
    print(f"{name:34}{middle:9.1f}{min(times):9.1f}{max(times):9.1f}   median ≤ 150")
    print(f"{'threshold, frames a second':34}{rate:9.1f}{'':18}   ≥ 30")
    print(f"{'sent to Python while it moves':34}{while_held:9}{'':18}   0 (after the hand is lifted: {after})")
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
