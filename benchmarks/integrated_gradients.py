"""Integrated Gradients against captum's, and the passes that a small delta takes.

    python benchmarks/integrated_gradients.py              # some minutes with one thread
    python benchmarks/integrated_gradients.py --part speed
    python benchmarks/integrated_gradients.py --part passes
    python benchmarks/integrated_gradients.py --part map --images 1     # a quarter of an hour

Speed: the same network, image, baseline (black), target (the whole prediction) and nodes (Gauss–Legendre, 50), captum
both as it is called by default, which runs all steps as one batch, and step by step. Each runs in a process of its own,
in turn with the others. Memory is the peak of the resident memory during the first run less what was resident before.

Passes: forward passes until the delta is below 1 % and 0.1 % of the difference of the scores. Automatic steps
(gradients + scores looked at without one) also have the estimated error of the map below that. Of Gauss–Legendre only
the delta counts: the first of 8, 16, 32, … steps that is good enough, as if one knew it beforehand, and all that were
tried until then; and the delta that captum's default of 50 leaves. The scores of both ends, which all need, are left
out. The images are cut, which makes a pass cheaper.

Map: the estimated error of the map beside the true one, Σ |value - reference| / Σ |reference|, for automatic steps of
both tolerances; the reference takes 2187 steps of the midpoint rule.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]  # it ships no types
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import Segmenter, Target, load_segmenter, read_image
from core.attribution.baselines import BaselineKind, make_baseline
from core.attribution.integrated_gradients import integrated_gradients
from core.models import shipped_weights

ROOT = Path(__file__).resolve().parents[1]
IMAGES = {
    "vessmap": ROOT / "sample_data/vessels/images",
    "fundus": ROOT / "sample_data/fundus/test/images",
    "scenes": ROOT / "sample_data/scenes/test/images",
}
STEPS = 50
SIDES = {"ours": "ours", "default": "captum, all steps at once", "single": "captum, step by step"}
ROUNDS = 2
TOLERANCES = (0.01, 0.001)
UNIFORM = (8, 16, 32, 64, 128, 256)
BUDGET = 400
REFERENCE = 2187
CUT = 64
KINDS: tuple[BaselineKind, ...] = ("zero", "blur", "mean")
MAP_KINDS: tuple[BaselineKind, ...] = ("zero", "blur")


def images_of(model: str, number: int) -> list[np.ndarray]:
    """The first images for a network."""
    return [read_image(path) for path in sorted(IMAGES[model].iterdir())[:number]]


def captum_values(
    segmenter: Segmenter, image: np.ndarray, baseline: np.ndarray, target: Target, batch: int | None
) -> tuple[np.ndarray, float]:
    """Captum's values and delta."""
    from captum.attr import IntegratedGradients  # noqa: PLC0415 - so that our side's memory is without it

    def score(images: Tensor) -> Tensor:
        return target(segmenter.logits(images))

    values, delta = IntegratedGradients(score).attribute(
        torch.from_numpy(image[None]),
        torch.from_numpy(baseline[None]),
        n_steps=STEPS,
        method="gausslegendre",
        internal_batch_size=batch,
        return_convergence_delta=True,
    )
    return values[0].numpy(), float(delta[0])


def run_of(side: str, segmenter: Segmenter, image: np.ndarray) -> Callable[[], np.ndarray]:
    """One side's whole work for an image."""
    target = Target.prediction(segmenter.predict(image).labels)
    if side == "ours":
        return lambda: integrated_gradients(segmenter, image, target, "zero", STEPS).values
    batch = None if side == "default" else 1
    return lambda: captum_values(segmenter, image, np.zeros_like(image), target, batch)[0]


def measure(side: str, model: str, values_file: Path) -> dict[str, float]:
    """Seconds and peak memory of one side, measured in this process."""
    segmenter = load_segmenter(model, "cpu")
    image = images_of(model, 1)[0]
    # What is compiled or imported once is not the method's: a small image first.
    run_of(side, segmenter, np.ascontiguousarray(image[:, :32, :32]))()
    work = run_of(side, segmenter, image)
    before = psutil.Process().memory_info().rss
    started = time.perf_counter()
    values = work()
    seconds = [time.perf_counter() - started]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for _ in range(ROUNDS - 1):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    np.save(values_file, values)
    return {"seconds": min(seconds), "bytes": peak - before}


def speed(model: str, threads: int) -> None:
    """Print one network's table."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for _, side in product(range(ROUNDS), SIDES):
            file = Path(folder) / f"{side}.npy"
            command = [sys.executable, __file__, "--side", side, "--model", model, "--values", file]
            environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
            process = subprocess.run(
                list(map(str, [*command, "--threads", threads])), capture_output=True, text=True, check=False,
                env=environment,
            )  # fmt: skip
            if process.returncode:
                sys.exit(process.stderr)
            found[side].append(json.loads(process.stdout.splitlines()[-1]))
        values = {side: np.load(Path(folder) / f"{side}.npy") for side in SIDES}
    size = "×".join(map(str, values["ours"].shape))
    print(f"\n{model}, {size}, {STEPS} steps, {threads} thread{'s' if threads > 1 else ''}")
    print(f"{'':28}{'seconds':>9}{'peak MB':>9}{'ours / it':>11}{'memory':>9}{'difference':>12}")
    best = {side: {key: min(run[key] for run in runs) for key in runs[0]} for side, runs in found.items()}
    for side, name in SIDES.items():
        seconds, held = best[side]["seconds"], best[side]["bytes"]
        ratios = best["ours"]["seconds"] / seconds, best["ours"]["bytes"] / held
        difference = np.abs(values[side] - values["ours"]).max() / np.abs(values["ours"]).max()
        print(f"{name:28}{seconds:9.2f}{held / 2**20:9.0f}{ratios[0]:11.2f}{ratios[1]:9.2f}{difference:12.1e}")


def targets_of(segmenter: Segmenter, image: np.ndarray) -> dict[str, Target]:
    """The whole prediction, the largest class beside the background, and the pixel that is most surely that class."""
    prediction = segmenter.predict(image)
    areas = np.bincount(prediction.labels.ravel(), minlength=2)
    largest = 1 + int(areas[1:].argmax())
    row, column = np.unravel_index(prediction.probabilities[largest].argmax(), prediction.labels.shape)
    return {
        "prediction": Target.prediction(prediction.labels),
        "class": Target.region(prediction.labels == largest, largest),
        "pixel": Target.pixel(int(row), int(column), largest, "logit"),
    }


def uniform_steps(segmenter: Segmenter, image: np.ndarray, target: Target, kind: BaselineKind) -> tuple[float, ...]:
    """The fewest steps of Gauss–Legendre for each tolerance; infinite where the largest is not enough."""
    needed = dict.fromkeys(TOLERANCES, float("inf"))
    for steps in UNIFORM:
        percent = integrated_gradients(segmenter, image, target, kind, steps).convergence_percent
        for tolerance in TOLERANCES:
            if percent <= 100 * tolerance:
                needed[tolerance] = min(needed[tolerance], steps)
        if needed[TOLERANCES[-1]] < float("inf"):
            break
    return tuple(needed.values())


def automatic_passes(
    segmenter: Segmenter, image: np.ndarray, target: Target, kind: BaselineKind, tolerance: float
) -> tuple[float, float]:
    """Gradients taken and scores looked at; infinite where the budget was used up."""
    found = integrated_gradients(segmenter, image, target, kind, "auto", tolerance=tolerance, max_steps=BUDGET).measured
    if found["stopped"] != "tolerance":
        return float("inf"), float("inf")
    return found["steps"], found["scores_looked_at"]


def cuts_of(model: str, number: int) -> list[np.ndarray]:
    """The middles of the first images for a network."""
    found = []
    for image in images_of(model, number):
        rows, columns = (slice(size // 2 - CUT // 2, size // 2 + CUT // 2) for size in image.shape[1:])
        found.append(np.ascontiguousarray(image[:, rows, columns]))
    return found


def map_errors(model: str, number: int) -> None:
    """Print one network's table: every image by itself, and the medians."""
    segmenter = load_segmenter(model, "cpu")
    print(f"\n{model}, automatic steps, {CUT}×{CUT}: errors in per cent")
    titles = f"{'gradients':>10}{'looks':>6}{'sum':>8}{'map':>8}{'true map':>10}"
    print(f"{'target':12}{'baseline':9}{'tolerance':>10}{titles}")
    rows: dict[float, list[tuple[float, ...]]] = {tolerance: [] for tolerance in TOLERANCES}
    for image, name, kind in product(cuts_of(model, number), ("prediction", "class", "pixel"), MAP_KINDS):
        target = targets_of(segmenter, image)[name]
        exact = integrated_gradients(segmenter, image, target, kind, REFERENCE, "midpoint").values
        for tolerance in TOLERANCES:
            found = integrated_gradients(segmenter, image, target, kind, "auto", tolerance=tolerance)
            true = 100 * float(np.abs(found.values - exact).sum() / np.abs(exact).sum())
            taken, looks = found.measured["steps"], found.measured["scores_looked_at"]
            rows[tolerance].append((taken, looks, found.convergence_percent, found.map_error_percent, true))
            print_errors(name, kind, tolerance, rows[tolerance][-1])
    for tolerance, table in rows.items():
        print_errors("median", "", tolerance, [statistics.median(column) for column in zip(*table, strict=True)])


def print_errors(name: str, kind: str, tolerance: float, row: Sequence[float]) -> None:
    """A row of that table."""
    taken, looks, total, estimated, true = row
    errors = f"{total:8.3f}{estimated:8.3f}{true:10.3f}"
    print(f"{name:12}{kind:9}{tolerance:10.1%}{taken:10.0f}{looks:6.0f}{errors}", flush=True)


def passes(model: str, number: int) -> None:
    """Print one network's table: medians over some images."""
    segmenter = load_segmenter(model, "cpu")
    cut = cuts_of(model, number)
    print(f"\n{model}, forward passes, median of {number} images {CUT}×{CUT}")
    titles = f"{'ours 1 %':>10}{'GL 1 %':>8}{'tried':>7}{'ours 0.1 %':>12}{'GL 0.1 %':>10}{'tried':>7}"
    print(f"{'target':12}{'baseline':9}{titles}{'captum 50: delta':>18}")
    everything: list[tuple[float, ...]] = []
    for name, kind in product(("prediction", "pixel"), KINDS):
        rows = []
        for image in cut:
            target = targets_of(segmenter, image)[name]
            ours = [automatic_passes(segmenter, image, target, kind, tolerance) for tolerance in TOLERANCES]
            uniform = uniform_steps(segmenter, image, target, kind)
            baseline = make_baseline(image, kind).images[0]
            values, delta = captum_values(segmenter, image, baseline, target, 1)
            percent = 100 * abs(delta / (values.sum(dtype=np.float64) - delta))
            rows.append((*ours[0], uniform[0], *ours[1], uniform[1], percent))
        everything += rows
        print_row(name, kind, rows)
    print_row("all", "", everything)


def print_row(name: str, kind: str, rows: Sequence[tuple[float, ...]]) -> None:
    """The medians of a row of the table."""
    columns = [statistics.median(column) for column in zip(*rows, strict=True)]
    cells = []
    for taken, looked, uniform in (columns[:3], columns[3:6]):
        tried = sum(steps for steps in UNIFORM if steps <= uniform)
        cells.append(f">{BUDGET}" if taken == float("inf") else f"{taken:.0f}+{looked:.0f}")
        cells.append(f">{UNIFORM[-1]}" if uniform == float("inf") else f"{uniform:.0f}")
        cells.append(f">{tried}" if uniform == float("inf") else f"{tried}")
    one, two, three, four, five, six = cells
    print(f"{name:12}{kind:9}{one:>10}{two:>8}{three:>7}{four:>12}{five:>10}{six:>7}{columns[-1]:16.2f} %", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["speed", "passes", "map", "all"], default="all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=2, help="for the passes and the map")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--model", choices=IMAGES, help="only this network")
    parser.add_argument("--values", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.model, arguments.values)))
        return
    models = [arguments.model] if arguments.model else [model for model in IMAGES if model in shipped_weights()]
    for model in models:
        if arguments.part in ("speed", "all") and model != "scenes":
            speed(model, arguments.threads)
        if arguments.part in ("passes", "all") and model != "scenes":
            passes(model, arguments.images)
        if arguments.part in ("map", "all"):
            map_errors(model, arguments.images)


if __name__ == "__main__":
    main()
