"""What a change costs or saves: the same measurements on another revision and on this working tree, in turn.

    python benchmarks/before_after.py --base main
    python benchmarks/before_after.py --base 1a2b3c4 --rounds 3 --only first

The other revision is checked out into a temporary git worktree. Every measurement runs in a fresh process with one
torch thread, base and this tree in turn, round by round, so that both meet the same load of the machine:

- first: from a shipped network freshly loaded to the gradient of one pixel of a sample image, in a process that has
  explained nothing before;
- jacobian: the vessel network at 64×64 and 256×256, the time until the first pass (preparation: probing, checking,
  timing), and the time for each of a fixed number of passes, summaries and writing included. The batch size is fixed,
  or noise would choose it.

A ratio is the median over rounds of this tree's time divided by the base's: below 1 is faster than before.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_FIRST_IMAGES = {
    "vessmap": "vessels/images/phantom_00.tiff",
    "fundus": "fundus/test/images/fundus_00.png",
    "scenes": "scenes/test/images/scene_00.png",
}
_PASSES = {64: 2048, 256: 192}
_BATCH_SIZES = {64: 4, 256: 1}
Numbers = dict[str, float]


def measure_first(network: str) -> Numbers:
    """Milliseconds from a loaded network to its first gradient."""
    from core import Target, load_segmenter, read_image  # noqa: PLC0415 - from the tree that is measured
    from core.attribution import gradient  # noqa: PLC0415

    image = read_image(Path("sample_data") / _FIRST_IMAGES[network])
    segmenter = load_segmenter(network, "cpu")
    started = time.perf_counter()
    gradient(segmenter, image, Target.pixel(image.shape[1] // 2, image.shape[2] // 2))
    return {"first gradient, ms": 1000 * (time.perf_counter() - started)}


def measure_jacobian(size: int) -> Numbers:
    """Seconds of preparation and milliseconds for each of the first passes."""
    from core import load_segmenter, read_image  # noqa: PLC0415 - from the tree that is measured
    from core.jacobian import Jacobian, jacobian  # noqa: PLC0415

    segmenter = load_segmenter("vessmap", "cpu")
    image = read_image(Path("sample_data") / _FIRST_IMAGES["vessmap"])[:, :size, :size]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.zarr"
        times: list[float] = []
        batch_size = 0

        def enough() -> bool:
            """Asked before every batch of passes; the first time, preparation has just ended."""
            nonlocal batch_size
            now = time.perf_counter()
            if not times:
                batch_size = Jacobian(out).manifest.batch_size
                times.extend((now, time.perf_counter()))
                return False
            times.append(now)
            return (len(times) - 2) * batch_size >= _PASSES[size]

        started = time.perf_counter()
        jacobian(segmenter, image, out=out, batch_size=_BATCH_SIZES[size], cancel=enough)
    passes = (len(times) - 2) * batch_size
    return {
        "preparation, s": times[0] - started,
        "pass, ms": 1000 * (times[-1] - times[1]) / passes,
        "batch size": batch_size,
    }


MEASUREMENTS = [("first", network) for network in _FIRST_IMAGES] + [("jacobian", str(size)) for size in _PASSES]


def numbers_of(tree: Path, kind: str, case: str) -> Numbers:
    """One measurement of one tree, in a process of its own."""
    command = [sys.executable, __file__, "--measure", kind, case]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=tree, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A temporary worktree of a revision."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        git = ["git", "-C", str(_ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def compare(base: Path, kind: str, case: str, rounds: int) -> None:
    """Measure both trees in turn and print a line for each number."""
    befores, afters = [], []
    for number in range(rounds):
        print(f"{kind} {case}: round {number + 1} of {rounds}", file=sys.stderr)
        befores.append(numbers_of(base, kind, case))
        afters.append(numbers_of(_ROOT, kind, case))
    for name in befores[0]:
        before, after = [n[name] for n in befores], [n[name] for n in afters]
        ratio = statistics.median(a / b for a, b in zip(after, before, strict=True))
        print(
            f"{kind + ' ' + case:16} {name:20} {statistics.median(before):9.2f} {statistics.median(after):9.2f} "
            f"×{ratio:6.3f}   {min(before):.2f}–{max(before):.2f} / {min(after):.2f}–{max(after):.2f}",
            flush=True,
        )


def main() -> None:
    """Print the table, or one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="HEAD", help="the revision to compare this working tree with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["first", "jacobian"])
    parser.add_argument("--measure", nargs=2, metavar=("KIND", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        kind, case = arguments.measure
        print(json.dumps(measure_first(case) if kind == "first" else measure_jacobian(int(case))))
        return
    with checked_out(arguments.base) as base:
        for tree in (base, _ROOT):  # compiles the modules, and fills the file cache
            numbers_of(tree, *MEASUREMENTS[0])
        print(f"{'':37} {'base':>9} {'this':>9} {'ratio':>7}   smallest–largest of base / of this")
        for kind, case in MEASUREMENTS:
            if arguments.only in (None, kind):
                compare(base, kind, case, arguments.rounds)


if __name__ == "__main__":
    main()
