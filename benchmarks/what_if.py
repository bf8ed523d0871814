"""The brush of the What if page, in headless Chromium: `python benchmarks/what_if.py`.

A hand paints strokes over a 256×256 image and over a 2048×2048 image of the same tiles, with the shipped vessel network
on one thread of torch. The times come from the browser's own clock, from the newest movement that an answer takes in to
the end of the frame that shows its labels. Beside it, in this process, 200 random strokes of all brushes: the largest
difference of the logits that are kept to those of a run of the whole image, and how long either takes. The targets are
printed, not asserted.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import tifffile
import torch
from playwright.sync_api import Page

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: Streamlit imports a package named click

from core import Segmenter, load_segmenter, read_image
from core.counterfactual.brush import Brush, BrushKind
from core.counterfactual.live_edit import LiveEdit
from core.receptive_field.known import learn_field
from tests.browser.app import PATIENCE, ROOT, VIEWPORT, chromium, running_app
from tests.browser.live import LiveViewer

IMAGE = ROOT / "sample_data" / "vessels" / "images" / "phantom_00.tiff"
PAUSE = 12
"""Milliseconds between two moves: more events than a screen has frames."""


class Painter(LiveViewer):
    """The page with the brush, opened with an image of a folder."""

    def __init__(self, page: Page, address: str, name: str) -> None:
        page.goto(f"{address}/what_if?image={name}&brush=mean")
        viewer, confirm = page.locator(".viewer"), page.get_by_role("button", name="Explain anyway")
        viewer.or_(confirm).first.wait_for()
        if confirm.is_visible():  # a large image
            confirm.click()
        super().__init__(page, None, with_maps=False)
        self.canvas.scroll_into_view_if_needed()

    def stroke(self, moves: int) -> None:
        """One stroke on a closed curve around the middle of the image, 80 pixels wide."""
        rows, columns = self.run("viewer.scene.size")
        (x0, y0), (x1, y1) = (self.aim(rows // 2 + by, columns // 2 + by) for by in (-40, 40))
        mouse = self.page.mouse
        for step in range(moves):
            angle = 4 * math.pi * step / moves
            x = (x0 + x1) / 2 + (x1 - x0) / 2 * math.cos(angle)
            mouse.move(x, (y0 + y1) / 2 + (y1 - y0) / 2 * math.sin(1.3 * angle))
            if step == 0:
                mouse.down()
            self.page.wait_for_timeout(PAUSE)
        mouse.up()
        while self.run("viewer.painter.queue.length"):
            self.page.wait_for_timeout(PAUSE)

    def times(self, moves: int) -> tuple[list[float], float]:
        """Milliseconds from movement to paint, and answers painted in a second, after a first stroke."""
        self.stroke(40)
        self.page.evaluate("window.paints.length = 0")
        self.stroke(moves)
        painted = self.paints()
        seconds = (painted[-1]["at"] - painted[0]["at"]) / 1000
        return [paint["milliseconds"] for paint in painted], (len(painted) - 1) / seconds


def strokes(segmenter: Segmenter, image: np.ndarray, number: int) -> tuple[float, list[float], list[float]]:
    """Largest difference to a run of the whole image as a share of the largest logit; seconds of both."""
    edit, random = LiveEdit(segmenter, image), np.random.default_rng(0)
    kinds = get_args(BrushKind)
    size = np.array(image.shape[1:])
    largest, kept, whole = 0.0, [], []
    for index in range(number):
        start = random.uniform((0, 0), size)
        kind = kinds[index % len(kinds)]
        brush = Brush(kind, random.uniform(2, 16), random.uniform(), (random.uniform(),), seed=index, offset=(9, -14))
        started = time.perf_counter()
        edit.painting.begin(brush)
        edit.renew(edit.painting.draw([tuple(start), tuple(start + random.uniform(-20, 20, 2))]))
        edit.painting.finish()
        kept.append(time.perf_counter() - started)
        started = time.perf_counter()
        with torch.no_grad():
            logits = segmenter.logits(edit.painting.image)[0]
        whole.append(time.perf_counter() - started)
        largest = max(largest, float((edit.prediction.logits - logits).abs().max() / logits.abs().max()))
    return largest, kept[1:], whole[1:]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=300)
    parser.add_argument("--strokes", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    segmenter, image = load_segmenter("vessmap", "cpu"), read_image(IMAGE)
    images = {side: np.tile(image, (1, side // 256, side // 256)) for side in (256, 512, 2048)}
    for values in images.values():
        learn_field(segmenter, (values.shape[1], values.shape[2]))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; one thread of torch")
    titles = f"{'answers':>8}{'a second':>10}{'median, ms':>12}{'p95':>8}{'ratio':>8}   target"
    print(f"\n{'movement → painted labels':28}{titles}")
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        for side in (256, 2048):
            tifffile.imwrite(Path(temporary) / f"tiled_{side}.tiff", np.round(images[side][0] * 255).astype(np.uint8))
        first = None
        with running_app(arguments=["--images", temporary], OMP_NUM_THREADS="1") as address:
            for side, target in ((256, "median ≤ 80 ms"), (2048, "≤ 1.5 × that of 256×256")):
                page = browser.new_context(viewport=VIEWPORT).new_page()
                page.set_default_timeout(PATIENCE)
                name = f"{Path(temporary).name}/tiled_{side}"
                times, rate = Painter(page, address, name).times(arguments.moves)
                times.sort()
                median = statistics.median(times)
                first = first or median
                late = times[int(0.95 * len(times))]
                words = f"{len(times):8}{rate:10.1f}{median:12.1f}{late:8.1f}{median / first:8.2f}   {target}"
                print(f"{f'{side}×{side}':28}{words}", flush=True)
                page.close()
    print(f"\n{'random strokes':28}{'strokes':>8}{'kept, ms':>12}{'whole':>8}{'ratio':>8}   largest difference")
    for side, count in ((256, arguments.strokes), (512, arguments.strokes), (2048, max(2, arguments.strokes // 20))):
        largest, kept, whole = strokes(segmenter, images[side], count)
        medians = [1000 * statistics.median(times) for times in (kept, whole)]
        words = f"{count:8}{medians[0]:12.1f}{medians[1]:8.1f}{medians[1] / medians[0]:8.2f}   {largest:.1e}"
        print(f"{f'{side}×{side}':28}{words} of the largest logit", flush=True)


if __name__ == "__main__":
    main()
