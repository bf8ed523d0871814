"""The Jacobian of whole images: our shared passes against `torch.autograd.functional.jacobian`, which goes row by row.

    python benchmarks/jacobian.py              # all cases, some minutes
    python benchmarks/jacobian.py --full       # computes every pass of every case, hours at 512×512
    python benchmarks/jacobian.py --sizes 64 128

What takes minutes at most is measured whole. What would take hours is timed on a sample, block by block in turn with
the peer so that both meet the same machine, and multiplied out; the column "timed" says which. Each case runs in a
process of its own, so that its peak memory is its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.jacobian import Jacobian, JacobianRequest
from core.jacobian.engine import compute_block, missing_blocks, open_or_create, store_runner
from core.jacobian.many_images import jacobians
from core.jacobian.request import ImageRequest
from core.models import CustomResNet, UNet
from core.segmenter import Segmenter

_ROUNDS = 7
_WHOLE_BELOW = 600
"""Cases with fewer passes than this, or pixels of a 64×64 image, are computed whole."""


def segmenter_for(network: str) -> Segmenter:
    """CustomResNet of width 16 or a depth-1 U-Net of width 16, with seeded weights: time does not depend on them.

    Laid out as `load_segmenter` lays out what it loads, for the peer as for us.
    """
    torch.manual_seed(0)
    module = CustomResNet(width=16) if network == "CustomResNet" else UNet(1, 2, depth=1, width=16)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Segmenter(module.to(memory_format=torch.channels_last), in_channels=1, device=device)


def image_of(size: int) -> np.ndarray:
    """Noise (1, size, size)."""
    return np.random.default_rng(0).random((1, size, size), dtype=np.float32)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


def row_by_row(segmenter: Segmenter, image: np.ndarray, pixels: np.ndarray | None) -> None:
    """The peer: `torch.autograd.functional.jacobian` of all scores, or of those of some pixels (flat indices)."""

    def scores(images: Tensor) -> Tensor:
        probabilities = segmenter.unchecked_logits(images).softmax(dim=1)[0, 1].flatten()
        return probabilities if pixels is None else probabilities[torch.from_numpy(pixels).to(probabilities.device)]

    torch.autograd.functional.jacobian(scores, torch.from_numpy(image[None]).to(segmenter.device))


class BarePass:
    """One `torch.autograd.grad` on a kept graph, nothing around it."""

    def __init__(self, segmenter: Segmenter, image: np.ndarray) -> None:
        self.images = torch.from_numpy(image[None]).to(segmenter.device).requires_grad_()
        self.scores = segmenter.unchecked_logits(self.images).softmax(dim=1)[:, 1]
        self.outputs = torch.zeros_like(self.scores)
        self.outputs[0, image.shape[1] // 2, image.shape[2] // 2] = 1

    def __call__(self) -> Tensor:
        """The gradient of the middle pixel's score."""
        return torch.autograd.grad(self.scores, self.images, self.outputs, retain_graph=True)[0].cpu()


def measure(network: str, size: int, *, full: bool) -> dict[str, Any]:
    """All numbers of one case."""
    segmenter, image = segmenter_for(network), image_of(size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.zarr"
        asked = ImageRequest.check(segmenter, image, JacobianRequest())
        started = time.perf_counter()
        store = open_or_create(segmenter, asked, path)
        preparation = time.perf_counter() - started
        runner = store_runner(segmenter, store)
        whole = full or len(store.plan) < _WHOLE_BELOW or size <= 64
        blocks = missing_blocks(store)
        rounds = len(blocks) if whole else _ROUNDS
        # The last block may hold a single pass, which tells little of the others.
        last = len(blocks) - (1 if whole else 2)
        chosen = [blocks[i] for i in np.linspace(0, last, rounds).round().astype(int)]

        def compute(block: int) -> None:
            compute_block(runner, store, block)

        compute(chosen[0])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        bare = BarePass(segmenter, image)
        bare()
        ours, alone, rows = [], [], []
        bare_passes = max(4, min(64, len(store.passes_of(0))))
        peer_rows = np.random.default_rng(1).integers(0, size * size, bare_passes)
        for number, block in enumerate(chosen):
            ours.append(seconds_of(lambda block=block: compute(block)) / len(store.passes_of(block)))  # type: ignore[misc]
            if number < 2 * _ROUNDS:
                alone.append(seconds_of(lambda: [bare() for _ in range(bare_passes)]) / bare_passes)
                one = seconds_of(lambda: row_by_row(segmenter, image, peer_rows[:1]))
                many = seconds_of(lambda: row_by_row(segmenter, image, peer_rows))
                rows.append((many - one) / (bare_passes - 1))
        passes = len(store.plan)
        pass_seconds = float(np.mean(ours) if whole else np.median(ours))
        total = preparation + pass_seconds * passes
        # Each round's row is set against the same round's pass: both met the same load of the machine.
        row_seconds = pass_seconds * float(np.median(np.array(rows) / np.array(ours[: len(rows)])))
        whole_peer = size <= 64
        peer_seconds = seconds_of(lambda: row_by_row(segmenter, image, None)) if whole_peer else row_seconds * size**2
        done = sum(len(store.passes_of(block)) for block in store.finished())
        on_disk = {name: bytes_in(path / name) * passes / done for name in ("rows", "statistics", "histogram", "boxes")}
        jacobian = Jacobian(path)
        row, column = (int(i) for i in np.argwhere(jacobian.computed)[0])
        return {
            "network": network,
            "size": size,
            "passes": passes,
            "batch": runner.batch_size,
            "preparation": preparation,
            "pass_seconds": pass_seconds,
            "against_bare": float(np.median(np.array(ours[: len(alone)]) / np.array(alone))),
            "total": total,
            "peak_memory": peak,
            "bytes_on_disk": sum(on_disk.values()),
            "bytes_of_summaries": sum(on_disk.values()) - on_disk["rows"],
            "peer_total": peer_seconds,
            "ratio": peer_seconds / total,
            "theory": size * size / passes,
            "timed": ("whole" if whole else f"{rounds} of {len(blocks)} blocks")
            + (", peer whole" if whole_peer else f", peer {len(rows) * bare_passes} rows"),
            "row_milliseconds": 1000 * seconds_of(lambda: jacobian.row(row, column)),
            "map_seconds": seconds_of(lambda: jacobian.threshold_map(0.013, source="histogram")),
        }


def workers_table(folder: Path) -> None:
    """Two Dask workers against one, each with one thread, on the same 48×48 image."""
    from distributed import LocalCluster  # noqa: PLC0415 - only this part needs it

    segmenter = segmenter_for("CustomResNet")
    seconds = []
    for number in (1, 2):
        with LocalCluster(n_workers=number, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
            address = cluster.scheduler_address
            # The first run makes every worker import torch and receive the network.
            first: dict[str | Path, np.ndarray] = {folder / f"first{number}.zarr": image_of(48)}
            jacobians(segmenter, first, JacobianRequest(stride=8), scheduler=address)
            started = time.perf_counter()
            path = folder / f"workers{number}.zarr"
            jacobians(segmenter, {path: image_of(48)}, batch_size=1, scheduler=address)
            seconds.append(time.perf_counter() - started)
    print(f"\nDask, CustomResNet 48×48, 2304 passes: one worker {seconds[0]:.1f} s, two workers {seconds[1]:.1f} s, ")
    print(f"×{seconds[0] / seconds[1]:.2f} on {os.cpu_count()} cores (preparation on the client included)")


def print_tables(cases: list[dict[str, Any]]) -> None:
    """The cases, and how the cost grows."""
    header = (
        f"{'network':13} {'size':>5} {'passes':>7} {'batch':>5} {'s/pass':>8} {'to bare':>7} {'total s':>9} "
        f"{'peak MB':>8} {'disk MB':>8} {'peer s':>9} {'ratio':>7} {'theory':>7}  timed"
    )
    print(header)
    for case in cases:
        peak, disk = case["peak_memory"] / 1e6, case["bytes_on_disk"] / 1e6
        print(
            f"{case['network']:13} {case['size']:5d} {case['passes']:7d} {case['batch']:5d} "
            f"{case['pass_seconds']:8.4f} {case['against_bare']:7.2f} {case['total']:9.1f} {peak:8.0f} {disk:8.0f} "
            f"{case['peer_total']:9.0f} ×{case['ratio']:6.2f} ×{case['theory']:6.2f}  {case['timed']}"
        )
    print("\nratio: torch.autograd.functional.jacobian / ours, preparation (probing, checking, timing) included")
    print("to bare: a pass with its summaries and writing / torch.autograd.grad alone, timed in turn")
    for case in cases:
        print(
            f"{case['network']} {case['size']}: preparation {case['preparation']:.1f} s, summaries "
            f"{case['bytes_of_summaries'] / 1e6:.0f} MB, a row read {case['row_milliseconds']:.1f} ms, a threshold map "
            f"from summaries {case['map_seconds']:.2f} s"
        )
    growth = [case for case in cases if case["network"] == "CustomResNet" and case["size"] >= 128]
    if len(growth) > 1:
        print(f"\n{'growth':>8} {'pixels':>8} {'total s':>9} {'ms a pixel':>11} {'peer, ms a pixel':>17}")
        for case in growth:
            pixels = case["size"] ** 2
            print(
                f"{case['size']:8d} {pixels:8d} {case['total']:9.1f} {1000 * case['total'] / pixels:11.2f} "
                f"{1000 * case['peer_total'] / pixels:17.2f}"
            )


def main() -> None:
    """Run every case in a process of its own and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128, 256, 512])
    parser.add_argument("--full", action="store_true", help="compute every pass")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch's, on a CPU")
    parser.add_argument("--no-unet", action="store_true")
    parser.add_argument("--no-dask", action="store_true")
    parser.add_argument("--case", nargs=2, metavar=("NETWORK", "SIZE"), help="one case, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.case:
        network, size = arguments.case
        print(json.dumps(measure(network, int(size), full=arguments.full)))
        return
    cases = [("CustomResNet", size) for size in arguments.sizes] + ([] if arguments.no_unet else [("U-Net", 256)])
    results = []
    for network, size in cases:
        command = [sys.executable, __file__, "--case", network, str(size), "--threads", str(arguments.threads)]
        command += ["--full"] if arguments.full else []
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        results.append(json.loads(output.splitlines()[-1]))
        print(f"{network} {size}: done", file=sys.stderr)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {device}\n")
    print_tables(results)
    if not arguments.no_dask:
        with tempfile.TemporaryDirectory() as folder:
            workers_table(Path(folder))


if __name__ == "__main__":
    main()
