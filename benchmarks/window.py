"""What a pixel's gradient costs on the window that it needs, and on the whole image: `python benchmarks/window.py`.

Both sides run in turn in one process, with one torch thread, for the shipped vessel network on a sample image repeated
to each size: rows at random pixels, columns, and SmoothGrad of 4 samples. It prints medians in milliseconds, the ratio,
the largest deviation as a share of the row's largest entry, and how the window's cost grows with the image.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import Target, load_segmenter, read_image
from core.attribution import gradient, influence, smoothgrad
from core.attribution.pixel_gradients import PixelGradients
from core.attribution.windowed import MapWindow
from core.receptive_field import learn_field
from core.target import Score

_IMAGE = "sample_data/vessels/images/phantom_00.tiff"
_SAMPLES = 4


def timed(function: Callable, *arguments: object) -> tuple[float, object]:
    """Milliseconds of a call, and its result."""
    started = time.perf_counter()
    result = function(*arguments)
    return 1000 * (time.perf_counter() - started), result


def measure(side: int, pixels: int) -> dict[str, float]:
    """Print the table of one image size; returns the windows' medians."""
    segmenter = load_segmenter("vessmap", "cpu")
    sample = read_image(_IMAGE)
    repeats = -(-side // sample.shape[1])
    image = np.ascontiguousarray(np.tile(sample, (1, repeats, repeats))[:, :side, :side])
    size = (side, side)
    seconds, _ = timed(learn_field, segmenter, size)
    print(f"{side}×{side}: field and windows learned, or read from disk, in {seconds / 1000:.1f} s", flush=True)
    live = PixelGradients(segmenter, image, Score(space="probability"))
    whole: dict[str, Callable[[int, int], np.ndarray]] = {
        "row": lambda r, c: gradient(segmenter, image, Target.pixel(r, c), window=False).values,
        "column": lambda r, c: influence(segmenter, image, r, c, window=False).values,
        f"SmoothGrad, {_SAMPLES}": lambda r, c: (
            smoothgrad(segmenter, image, Target.pixel(r, c), _SAMPLES, window=False).values
        ),
    }
    windowed: dict[str, Callable[[int, int], MapWindow]] = {
        "row": live.row,
        "column": live.column,
        f"SmoothGrad, {_SAMPLES}": lambda r, c: live.smooth_row(r, c, _SAMPLES),
    }
    generator = np.random.default_rng(0)
    medians = {}
    for name, on_window in windowed.items():
        fast, slow, errors = [], [], []
        for _ in range(pixels + 1):
            pixel = int(generator.integers(side)), int(generator.integers(side))
            milliseconds, found = timed(on_window, *pixel)
            fast.append(milliseconds)
            milliseconds, expected = timed(whole[name], *pixel)
            slow.append(milliseconds)
            assert isinstance(found, MapWindow)  # noqa: S101 - for the type checker
            assert isinstance(expected, np.ndarray)  # noqa: S101
            errors.append(float(np.abs(found.on(size) - expected).max() / np.abs(expected).max()))
        medians[name] = statistics.median(fast[1:])  # the first run of a shape is slower
        on_whole = statistics.median(slow[1:])
        print(
            f"  {name:14} window {medians[name]:8.1f} ms, whole {on_whole:8.1f} ms: ×{on_whole / medians[name]:.1f}; "
            f"deviation {max(errors):.1e}",
            flush=True,
        )
    return medians


def main() -> None:
    """Print a table for each size, and how the cost grows from the first size to the last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--pixels", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    medians = [measure(side, arguments.pixels) for side in arguments.sides]
    for name in medians[0]:
        print(f"{name}: ×{medians[-1][name] / medians[0][name]:.2f} from {arguments.sides[0]} to {arguments.sides[-1]}")


if __name__ == "__main__":
    main()
