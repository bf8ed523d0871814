"""From a click to the painted gradient map in headless Chromium: `python benchmarks/click.py`.

A 256×256 sample image, the shipped vessel network, 20 clicks on different pixels. Both ends are read from the browser's
own clock: mouse-up in the picture's frame, and the frame in which the map on screen has new values. Beside it the time
of the gradient alone, in this process, for the same pixels.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import Target, load_segmenter, read_image
from core.attribution import gradient
from tests.browser.app import ROOT, VIEWPORT, Explorer, chromium, running_app

IMAGE = ROOT / "sample_data" / "vessels" / "images" / "phantom_00.tiff"

_WATCH_MOUSE = """() => window.addEventListener('mouseup', () => {
    window.top.pressed = performance.timeOrigin + performance.now()
}, {capture: true})"""
_WATCH_MAP = """() => {
    const shown = () => [...document.querySelectorAll('.js-plotly-plot')]
        .map(plot => plot.data && plot.data[0]).find(trace => trace && trace.type === 'heatmap')?.z?.bdata
    const before = shown()
    window.painted = null
    const look = () => {
        const now = shown()
        if (now && now !== before) {
            requestAnimationFrame(() => requestAnimationFrame(() => {  // the frame with the values is on screen now
                window.painted = performance.timeOrigin + performance.now()
            }))
        } else {
            requestAnimationFrame(look)
        }
    }
    look()
}"""


def milliseconds_to_map(page: Page, explorer: Explorer, aim: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    """One click: the time until its map is painted, and the pixel that was hit."""
    page.evaluate(_WATCH_MAP)
    hit = explorer.click(*aim, (256, 256))
    page.wait_for_function("window.painted", timeout=60_000)
    return page.evaluate("window.painted - window.pressed"), hit


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=20)
    clicks = parser.parse_args().clicks
    generator = np.random.default_rng(0)
    aims = [(int(row), int(column)) for row, column in generator.integers(16, 240, (clicks + 2, 2))]
    with running_app() as address, chromium() as browser:
        page = browser.new_page(viewport=VIEWPORT)
        explorer = Explorer(page, address, "?image=vessels/phantom_00")
        page.frames[-1].evaluate(_WATCH_MOUSE)
        to_map, pixels = [], []
        for aim in aims:
            elapsed, pixel = milliseconds_to_map(page, explorer, aim)
            explorer.wait()
            to_map.append(elapsed)
            pixels.append(pixel)
    segmenter, image = load_segmenter("vessmap"), read_image(IMAGE)
    alone = []
    for pixel in pixels:
        started = time.perf_counter()
        gradient(segmenter, image, Target.pixel(*pixel))
        alone.append(1000 * (time.perf_counter() - started))
    whole, part = to_map[2:], alone[2:]  # the first two warm both up
    print(f"{len(whole)} clicks on a 256×256 image, {segmenter.device}")
    print(f"{'':28}{'median':>9}{'min':>9}{'max':>9}")
    for name, values in (("click to painted map, ms", whole), ("gradient alone, ms", part)):
        print(f"{name:28}{statistics.median(values):9.1f}{min(values):9.1f}{max(values):9.1f}")
    print(f"{'share of the gradient':28}{statistics.median(part) / statistics.median(whole):9.2f}")


if __name__ == "__main__":
    main()
