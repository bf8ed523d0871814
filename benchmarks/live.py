"""Maps that follow the pointer, in headless Chromium: `python benchmarks/live.py`.

The pointer moves 400 times over a 256×256 image on the Pixel Explorer, with the shipped vessel network on one thread of
torch. The viewer says when each map is painted: rates and times come from the browser's own clock, from the pointer's
event to the end of the frame's painting. The same over a 1024×1024 image of the same tiles, and, magnified, over a part
of the image whose rows are in a store on disk. Beside it, in this process, gradients that run on the whole image. The
targets are printed, not asserted.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
import torch
from playwright.sync_api import Browser, Page

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: Streamlit imports a package named click

from core import Segmenter, Target, load_segmenter, read_image
from core.attribution import gradient
from core.attribution.attribution import image_hash
from core.jacobian import jacobian
from core.receptive_field.known import learn_field
from tests.browser.app import PATIENCE, ROOT, VIEWPORT, chromium, running_app
from tests.browser.live import LiveViewer

IMAGE = ROOT / "sample_data" / "vessels" / "images" / "phantom_00.tiff"
STORED = 108, 148
"""First and last row and column of the pixels whose rows are stored: all would take a quarter of an hour."""
PAUSE = 12
"""Milliseconds between two moves: more events than a screen has frames."""


def moves(viewer: LiveViewer, number: int, inside: tuple[float, float, float, float], pause: int) -> None:
    """Move the pointer along a closed curve inside a box (top, left, bottom, right) of the image."""
    top, left, bottom, right = inside
    corners = [viewer.aim(round(top), round(left)), viewer.aim(round(bottom), round(right))]
    (x0, y0), (x1, y1) = corners
    for step in range(number):
        angle = 4 * math.pi * step / number
        x = (x0 + x1) / 2 + (x1 - x0) / 2 * math.cos(angle)
        y = (y0 + y1) / 2 + (y1 - y0) / 2 * math.sin(1.3 * angle)
        viewer.page.mouse.move(x, y)
        if pause:
            viewer.page.wait_for_timeout(pause)


def measured(
    viewer: LiveViewer, number: int, inside: tuple[float, float, float, float], pause: int = PAUSE
) -> tuple[float, list[float]]:
    """Maps painted in a second, and milliseconds from each pointer event to its painted map."""
    moves(viewer, 40, inside, pause)  # the first gradients are slower
    viewer.wait_for_live()
    viewer.page.evaluate("window.paints.length = 0")
    moves(viewer, number, inside, pause)
    viewer.wait_for_live()
    painted = viewer.paints()
    seconds = (painted[-1]["at"] - painted[0]["at"]) / 1000
    return (len(painted) - 1) / seconds, [paint["milliseconds"] for paint in painted]


def whole_image_times(segmenter: Segmenter, image: np.ndarray, number: int = 10) -> list[float]:
    """Milliseconds of gradients that run on the whole image."""
    times = []
    for row in np.linspace(8, image.shape[1] - 8, number + 2).astype(int):
        started = time.perf_counter()
        gradient(segmenter, image, Target.pixel(int(row), int(row)), window=False)
        times.append(1000 * (time.perf_counter() - started))
    return times[2:]


def store_rows(segmenter: Segmenter, image: np.ndarray, folder: Path) -> None:
    """Compute a part of the Jacobian where the Pixel Explorer looks for it."""
    hashes = f"{segmenter.weights_hash[:8]}{image_hash(image)[:8]}"
    started = time.perf_counter()
    out = folder / f"vessmap_phantom_00_vessel_probability_stride1_float32_{hashes}.zarr"
    region = np.zeros(image.shape[1:], dtype=bool)
    region[STORED[0] : STORED[1] + 1, STORED[0] : STORED[1] + 1] = True
    jacobian(segmenter, image, out=out, region=region)
    print(f"{region.sum():,} rows were stored in {time.perf_counter() - started:.0f} s.", flush=True)


def opened(browser: Browser, address: str, upload: Path | None = None) -> tuple[Page, LiveViewer]:
    """The Pixel Explorer with the sample or with an uploaded image."""
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.set_default_timeout(PATIENCE)
    if upload is None:
        return page, LiveViewer(page, address, with_maps=False)
    page.goto(address)
    page.locator("input[type=file]").first.set_input_files(upload)
    size = list(tifffile.imread(upload).shape)
    page.wait_for_function(
        """size => {
            const find = root => [...root.querySelectorAll('*')].flatMap(element =>
                [element, ...(element.shadowRoot ? find(element.shadowRoot) : [])])
            return find(document).some(element => element.viewer && `${element.viewer.scene.size}` === `${size}`)
        }""",
        arg=size,
    )
    return page, LiveViewer(page, None, with_maps=False)


def line(name: str, rate: float, times: Sequence[float], target: str) -> None:
    """One line of the table."""
    ordered = sorted(times)
    median, late = statistics.median(ordered), ordered[int(0.95 * len(ordered))]
    print(f"{name:34}{len(ordered):6}{rate:10.1f}{median:12.1f}{late:8.1f}   {target}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=400)
    parser.add_argument("--without-store", action="store_true", help="Leave out the store, which takes minutes.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    segmenter, image = load_segmenter("vessmap", "cpu"), read_image(IMAGE)
    large = np.tile(image, (1, 4, 4))
    for values in (image, large):
        learn_field(segmenter, (values.shape[1], values.shape[2]))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; one thread of torch")
    print(f"{'':34}{'maps':>6}{'a second':>10}{'median, ms':>12}{'p95':>8}   target")
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        folder = Path(temporary)
        tiled = folder / "tiled_1024.tiff"
        tifffile.imwrite(tiled, np.round(large[0] * 255).astype(np.uint8))
        medians = {}
        with running_app(OMP_NUM_THREADS="1", WHYPIXEL_RUNS=str(folder)) as address:
            for name, upload, size, target in (
                ("256×256", None, 256, "≥ 25 a second, median ≤ 50, p95 ≤ 90"),
                ("1024×1024", tiled, 1024, "median ≤ 1.3 × that of 256×256"),
            ):
                page, viewer = opened(browser, address, upload)
                rate, times = measured(viewer, arguments.moves, (size / 8, size / 8, 7 * size / 8, 7 * size / 8))
                line(name, rate, times, target)
                medians[name] = statistics.median(times)
                page.context.close()
        if not arguments.without_store:
            store_rows(segmenter, image, folder)
            with running_app(OMP_NUM_THREADS="1", WHYPIXEL_RUNS=str(folder)) as address:
                page, viewer = opened(browser, address)
                middle, first, last = sum(STORED) // 2, STORED[0] + 1, STORED[1] - 1
                viewer.zoom(4, middle, middle)
                rate, times = measured(viewer, arguments.moves, (first, first, last, last), pause=0)
                line("256×256 from a store", rate, times, "≥ 50 a second, p95 ≤ 30")
                page.context.close()
    print(f"{'1024×1024 against 256×256':34}{medians['1024×1024'] / medians['256×256']:28.2f}           ≤ 1.3")
    for name, values in (("256×256", image), ("1024×1024", large)):
        whole = statistics.median(whole_image_times(segmenter, values, 10 if values is image else 3))
        share = medians[name] / whole
        print(f"{'gradient of the whole ' + name:34}{whole:28.1f}           pointer to paint takes {share:.2f} of it")
    print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
