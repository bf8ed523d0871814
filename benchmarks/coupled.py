"""The whole Jacobian of a network with instance normalisation: shared passes and a coupling, against a pass per pixel.

    python benchmarks/coupled.py --threads 1            # 96×96 whole, 256×256 in part, the memory at 512×512
    python benchmarks/coupled.py --sizes 96

The network is a U-Net of three stages with 32, 64 and 128 channels, one convolution per block, InstanceNorm2d and
random weights. Its rows reach the whole image, through 640 statistics of its normalisation alone. The peer is one
`torch.autograd.grad` on a kept graph for each pixel, which keeps nothing; our side writes its store. They take turns,
so both meet the same machine. 96×96 is computed whole by both. At 256×256 all factors are computed, and a sample of the
shared passes and of the peer's; the rest is multiplied out. At 512×512 one block of factors and one of passes are
computed, for the peak memory. Each case runs in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.jacobian import image_of, seconds_of
from core.jacobian import JacobianRequest
from core.jacobian.engine import compute_block, compute_factors, missing_blocks, open_or_create, store_runner
from core.jacobian.factors import FactorRunner
from core.jacobian.request import ImageRequest
from core.jacobian.store import JacobianStore
from core.segmenter import Segmenter
from tests.jacobian.coupled_networks import NORMS, CoupledUNet
from tests.jacobian.rows import lively

_LARGEST_WHOLE = 96
_LARGEST_WITH_ALL_FACTORS = 256
_ROUNDS = 5
_PEER_ROWS = 24
"""Rows that the peer computes in each round of a sample."""


class BareRows:
    """One `torch.autograd.grad` for each row on a kept graph, nothing around it."""

    def __init__(self, segmenter: Segmenter, image: np.ndarray) -> None:
        self._images = torch.from_numpy(image[None]).requires_grad_()
        self._scores = segmenter.unchecked_logits(self._images).softmax(dim=1)[0, 1].flatten()

    def compute(self, pixels: np.ndarray) -> None:
        """The rows of some pixels, by their numbers in the image."""
        for pixel in pixels:
            torch.autograd.grad(self._scores[pixel], self._images, retain_graph=True)


def measure(size: int) -> dict[str, Any]:
    """All numbers of one size."""
    segmenter, image = Segmenter(lively(CoupledUNet(NORMS["instance"], 3, 32, "", 1)), in_channels=1), image_of(size)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        store = open_or_create(
            segmenter, ImageRequest.check(segmenter, image, JacobianRequest()), Path(folder) / "run.zarr"
        )
        found = {
            "size": size,
            "preparation": time.perf_counter() - started,
            "statistics": store.manifest.statistics,
            "shared": len(store.plan),
            "rows": store.plan.num_pixels,
        }
        if not store.manifest.statistics:
            sys.exit(f"At {size}×{size} a pass for each pixel was found to be cheaper: {store.manifest.note}")
        if size > _LARGEST_WITH_ALL_FACTORS:
            compute_first_blocks(segmenter, store)
            return found | {"peak_memory": peak_memory()}
        found["factors"] = seconds_of(lambda: compute_factors(segmenter, store))
        return found | in_turn(segmenter, store, whole=size <= _LARGEST_WHOLE)


def in_turn(segmenter: Segmenter, store: JacobianStore, *, whole: bool) -> dict[str, Any]:
    """Seconds of all shared passes and of all rows of the peer, timed block by block in turn."""
    runner, blocks, pixels = store_runner(segmenter, store), missing_blocks(store), store.plan.num_pixels
    if whole:
        parts = np.array_split(np.arange(pixels), len(blocks))
    else:
        blocks = [blocks[at] for at in np.linspace(0, len(blocks) - 2, _ROUNDS).round().astype(int)]
        parts = np.array_split(np.random.default_rng(1).integers(0, pixels, _ROUNDS * _PEER_ROWS), _ROUNDS)
    bare = BareRows(segmenter, store.image)
    ours, peer, done = 0.0, 0.0, 0
    for block, part in zip(blocks, parts, strict=True):
        ours += seconds_of(lambda block=block: compute_block(runner, store, block))  # type: ignore[misc]
        peer += seconds_of(lambda part=part: bare.compute(part))  # type: ignore[misc]
        done += len(store.passes_of(block))
    return {
        "shared_seconds": ours * len(store.plan) / done,
        "peer_seconds": peer * pixels / sum(map(len, parts)),
        "timed": "both whole"
        if whole
        else f"factors whole, {done} shared passes, {sum(map(len, parts))} rows of the peer",
        "peak_memory": peak_memory(),
    }


def compute_first_blocks(segmenter: Segmenter, store: JacobianStore) -> None:
    """One block of factors, which stands for all others, and one of passes: its rows are wrong, its memory is not."""
    runner = FactorRunner(segmenter, store.image, store.manifest.score, store.labels)
    blocks = store.missing_factors
    factors = runner.factors(blocks[0])
    del runner
    for block in blocks:
        store.write_factors(block, type(factors)(factors.derivatives[: len(block)], factors.gradients[: len(block)]))
    unchecked = next(block for block in missing_blocks(store) if not store.is_sampled(block))
    compute_block(store_runner(segmenter, store), store, unchecked)


def peak_memory() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def print_table(cases: list[dict[str, Any]]) -> None:
    """One line for each size."""
    for case in cases:
        passes = case["shared"] + 2 * case["statistics"]
        print(
            f"\n{case['size']}×{case['size']}: {case['rows']:,} rows from {passes:,} passes ({case['shared']:,} shared "
            f"and 2 × {case['statistics']}), ×{case['rows'] / passes:.1f} fewer; peak memory "
            f"{case['peak_memory'] / 1e6:,.0f} MB"
        )
        if "peer_seconds" in case:
            ours = case["preparation"] + case["factors"] + case["shared_seconds"]
            parts = f"preparation {case['preparation']:.0f}, factors {case['factors']:.0f}, passes and rows"
            print(
                f"  ours {ours:,.0f} s ({parts} {case['shared_seconds']:,.0f}), a pass per pixel "
                f"{case['peer_seconds']:,.0f} s, ×{case['peer_seconds'] / ours:.1f}"
            )
            print(f"  timed: {case['timed']}")


def main() -> None:
    """Run every size in a process of its own and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[96, 256, 512])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch's")
    parser.add_argument("--case", type=int, metavar="SIZE", help="one size, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.case:
        print(json.dumps(measure(arguments.case)))
        return
    cases = []
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--case", str(size), "--threads", str(arguments.threads)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        cases.append(json.loads(output.splitlines()[-1]))
        print(f"{size}×{size}: done", file=sys.stderr)
    print(f"torch {torch.__version__}, CPU, threads: {arguments.threads}")
    print_table(cases)


if __name__ == "__main__":
    main()
