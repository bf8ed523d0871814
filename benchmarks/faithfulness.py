"""What the metrics cost beside the network itself: `python benchmarks/faithfulness.py`.

Deletion and insertion of one map, with all that is followed on the way (score, leakage), against the bare network run
on as many images of random numbers at the same batch size, taking turns in one process. The ratio is that of forward
passes a second: 1 would mean that making the changed images and their scores costs nothing. Random sets (infidelity,
sensitivity-n) and ROAD, whose pixels are imputed one image after the other, are measured likewise.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core import Segmenter, load_segmenter, read_image
from core.pixel_sets import PixelSet
from core.target import Target
from core.trust import PerturbedRuns, RemovalSettings, removal_curve, road, sample_removals

SAMPLES = {"vessmap": "vessels", "fundus": "fundus/test", "scenes": "scenes/test"}
STEPS = 16


@torch.no_grad()
def bare(segmenter: Segmenter, images: torch.Tensor, count: int) -> None:
    """`count` images through the module alone, at the batch size of `images`."""
    for start in range(0, count, len(images)):
        segmenter.module(images[: count - start])


def seconds(work: Callable[[], object]) -> float:
    """Wall time, the GPU's queue emptied before and after."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measured(segmenter: Segmenter, image: np.ndarray, target: Target, batch_size: int, repetitions: int) -> None:
    """One row per metric: passes a second inside it and bare, and their ratio."""
    importance = np.random.default_rng(0).random(image.shape[1:])
    batch = torch.rand(batch_size, *image.shape, device=segmenter.device)
    passes = [0]

    def count(done: int, _total: int) -> None:
        passes[0] = done

    def runs() -> PerturbedRuns:
        return PerturbedRuns(segmenter, image, target, RemovalSettings(batch_size=batch_size), count)

    metrics: dict[str, Callable[[PerturbedRuns], object]] = {
        "deletion": lambda run: removal_curve(run, importance, STEPS),
        "insertion": lambda run: removal_curve(run, importance, STEPS, inserted=True),
        "infidelity, sensitivity-n": lambda run: sample_removals(run, n_subsets=32),
        "ROAD": lambda run: road(run, importance),
    }
    bare(segmenter, batch, batch_size)
    for name, metric in metrics.items():
        inside, outside = [], []
        for _ in range(repetitions):
            run = runs()
            inside.append(seconds(lambda metric=metric, run=run: metric(run)) / passes[0])  # type: ignore[misc]
            outside.append(seconds(lambda: bare(segmenter, batch, passes[0])) / passes[0])
        ratio = statistics.median(there / here for here, there in zip(inside, outside, strict=True))
        rates = 1 / statistics.median(inside), 1 / statistics.median(outside)
        print(f"{segmenter.name:<10} {name:<27} {batch_size:>5} {rates[0]:>10.1f} {rates[1]:>10.1f} {ratio:>7.2f}")


def main() -> None:
    """Every network, every metric."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="*", default=list(SAMPLES), help="names of shipped networks")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    print(f"{'network':<10} {'metric':<27} {'batch':>5} {'inside /s':>10} {'bare /s':>10} {'ratio':>7}")
    for name in arguments.weights:
        segmenter = load_segmenter(name, arguments.device)
        image = read_image(min((ROOT / "sample_data" / SAMPLES[name] / "images").iterdir()))
        prediction = segmenter.predict(image)
        target = PixelSet("class").target(prediction, 1, "probability", "mean")
        measured(segmenter, image, target, arguments.batch_size, arguments.repetitions)


if __name__ == "__main__":
    main()
