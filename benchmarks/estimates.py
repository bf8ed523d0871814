"""Estimates of what the rows of a dense Jacobian sum up to, against exact rows, and against shared backward passes.

    python benchmarks/estimates.py                # two SegFormers with random weights at 128×128, minutes
    python benchmarks/estimates.py --size 64 --error 0.3

The estimate's errors and the coverage of its error bars are those at pixels that it never saw. The peer takes as many
passes: backward ones that pixels share at a spacing, with random signs, where a pixel's row is read off in the cell of
its own around it, and repeated with other signs as often as the passes allow.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.jacobian import RowEstimates, estimate_row_summaries
from core.jacobian.passes import PassRunner
from core.jacobian.row_estimates import SUMMARIES, summaries_of_rows
from core.jacobian.row_summaries import magnitude
from core.segmenter import Segmenter
from core.target import Score

_HELD_OUT = 200
_SPACINGS = (8, 16, 32)
_SMALL = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "decoder_hidden_size": 16}
NETWORKS: dict[str, dict[str, Any]] = {
    "SegFormer, small": _SMALL | {"initializer_range": 0.2},
    "SegFormer B0": {"initializer_range": 0.1},
}


def segmenter_for(network: str) -> Segmenter:
    """A SegFormer of three classes with seeded weights, without any download."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation  # noqa: PLC0415 - slow to import

    torch.manual_seed(0)
    module: nn.Module = SegformerForSemanticSegmentation(SegformerConfig(**NETWORKS[network] | {"num_labels": 3}))
    return Segmenter(module, in_channels=3, device="auto", name=network)


def rows_of(runner: PassRunner, pixels: np.ndarray, size: int) -> np.ndarray:
    """The exact rows (N, C, H, W) of pixels (N, 2)."""
    outputs = np.zeros((len(pixels), size, size), np.float32)
    outputs[np.arange(len(pixels)), pixels[:, 0], pixels[:, 1]] = 1
    return np.concatenate([runner(part) for part in np.split(outputs, range(8, len(outputs), 8))])


def held_out_pixels(found: RowEstimates, size: int) -> np.ndarray:
    """Pixels (200, 2) drawn at random that are not in the estimate's own sample."""
    is_known = np.zeros((size, size), dtype=bool)
    is_known[tuple(found.pixels.T)] = True
    chosen = np.random.default_rng(1).choice(np.flatnonzero(~is_known), _HELD_OUT, replace=False)
    return np.stack(np.unravel_index(chosen, is_known.shape), axis=1)


def shared_estimates(runner: PassRunner, pixels: np.ndarray, size: int, spacing: int, repeats: int) -> np.ndarray:
    """Sum and norm (N, 2) of the rows of pixels, from backward passes that pixels share at a spacing."""
    generator = np.random.default_rng(2)
    found = np.zeros((len(pixels), 2))
    phases = pixels % spacing
    for phase in np.unique(phases, axis=0):
        own = np.flatnonzero((phases == phase).all(axis=1))
        for _ in range(repeats):
            outputs = np.zeros((size, size), np.float32)
            grid = outputs[phase[0] :: spacing, phase[1] :: spacing]
            grid[:] = generator.choice([-1, 1], grid.shape)
            values = magnitude(runner(outputs[None])[0]).astype(np.float64)
            for index in own:
                top, left = np.maximum(pixels[index] - spacing // 2, 0)
                bottom, right = pixels[index] + spacing // 2
                cell = values[top:bottom, left:right]
                found[index] += cell.sum(), np.square(cell).sum()
    found /= repeats
    found[:, 1] = np.sqrt(found[:, 1])
    return found


def measure(network: str, size: int, error: float) -> None:
    """Print the table of one network."""
    segmenter = segmenter_for(network)
    image = np.random.default_rng(0).random((3, size, size), dtype=np.float32)
    segmenter.predict(image)
    found = estimate_row_summaries(segmenter, image, error=error)
    pixels = held_out_pixels(found, size)
    runner = PassRunner(segmenter, image, Score(1, "probability"), 8)
    rows_of(runner, pixels[:8], size)
    started = time.perf_counter()
    rows = rows_of(runner, pixels, size)
    seconds_per_row = (time.perf_counter() - started) / len(pixels)
    exact = summaries_of_rows(rows, pixels)
    share, by_rows = found.rows / found.passes, seconds_per_row * found.rows
    print(f"\n{network}, {size}×{size}: {found.passes:,} passes for {found.rows:,} rows (1/{share:.1f})")
    print(f"{found.seconds:.1f} s against {by_rows:.0f} s row by row (×{by_rows / found.seconds:.1f})")
    print(f"error wanted {100 * error:g} %, {'reached' if found.reached else 'not reached'}")
    print(f"{'summary':18} {'median':>10} {'median error':>13} {'95 % error':>11} {'error bar':>11} {'coverage':>9}")
    for name, summary in SUMMARIES.items():
        estimate = found.maps[name]
        values, (low, high) = estimate.values[tuple(pixels.T)], (end[tuple(pixels.T)] for end in estimate.bars)
        errors = np.abs(values - exact[name]) / (exact[name] if summary.is_relative else 1)
        unit = "%" if summary.is_relative else "px"
        median, most = np.percentile(errors, [50, 95]) * (100 if summary.is_relative else 1)
        covered = np.mean((low <= exact[name]) & (exact[name] <= high))
        bar = estimate.error * (100 if summary.is_relative else 1)
        print(
            f"{name:18} {np.median(exact[name]):10.4g} {median:10.2f} {unit:2} {most:8.2f} {unit:2} ±{bar:7.2f} "
            f"{unit:2} {covered:9.1%}"
        )
    for spacing in _SPACINGS:
        repeats = max(1, found.passes // spacing**2)
        shared = shared_estimates(runner, pixels, size, spacing, repeats)
        errors = [
            np.percentile(np.abs(shared[:, i] / exact[name] - 1), [50, 95]) for i, name in enumerate(("sum", "norm"))
        ]
        print(
            f"shared backward passes at a spacing of {spacing}, {repeats} times: median and 95 % error of the sum "
            f"{errors[0][0]:.0%}, {errors[0][1]:.0%}; of the norm {errors[1][0]:.0%}, {errors[1][1]:.0%}"
        )


def main() -> None:
    """Measure every network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--error", type=float, default=0.2, help="relative error wanted")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch's, on a CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {device}")
    for network in NETWORKS:
        measure(network, arguments.size, arguments.error)


if __name__ == "__main__":
    main()
