"""The smallest change that flips a label, beside attacks of kept libraries: `python benchmarks/flip.py`.

Random pixels of vessel phantoms that no training saw (`vessmap`) and of the street scenes of the samples (`scenes`), on
one thread of torch: how many flip, proven on the whole image, and in how many seconds. On some of them the norm beside
the best of projected gradient descent (1,000 steps, the radius halved ten times), DDN (foolbox) and ALMA (adv-lib) for
L2, and of projected gradient descent and FMN (adv-lib) for L∞, each with 1,000 steps on the same part of the image.
The libraries are no requirement: `pip install foolbox`, `pip install --no-deps adv-lib`. What is missing is left out.
"""

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core import Segmenter, UserError, load_segmenter, read_image
from core.counterfactual import smallest_change
from core.counterfactual.flip.projections import Norm
from core.counterfactual.flip.question import question_about
from core.counterfactual.flip.slope import Slope
from core.receptive_field.known import learn_field
from phantoms import vessel_phantom

ROOT = Path(__file__).resolve().parents[1]
FIRST_SEED = 4_000_000
"""Of the phantoms; training, validation and test used lower ones."""
STEPS = 1000
HALVINGS = 10
NORMS: tuple[Norm, ...] = ("l2", "linf")
Attack = Callable[["Pixel"], Tensor]


class Pixel(torch.nn.Module):
    """The classes' logits of one pixel, (B, K), as a classifier of the part of the image that can move them."""

    def __init__(self, slope: Slope, label: int) -> None:
        super().__init__()
        self.slope, self.label = slope, torch.tensor([label])

    def forward(self, part: Tensor) -> Tensor:
        """Logits (B, K) of parts (B, C, h, w); ALMA wants three classes, so two get one that never wins."""
        logits = self.slope.logits(part)[:, :, 0, 0]
        return logits if logits.shape[1] > 2 else torch.nn.functional.pad(logits, (0, 1), value=-20.0)


def projected_descent(pixel: Pixel, norm: Norm) -> Tensor:
    """Projected gradient descent on the margin, with the radius halved towards the smallest that flips."""
    start, low, high, best = pixel.slope.start, 0.0, 2.0 if norm == "l2" else 0.1, None
    for _ in range(HALVINGS):
        radius, change, flipped = (low + high) / 2, torch.zeros_like(start), None
        for _ in range(STEPS // HALVINGS):
            margin, _, gradient = pixel.slope.slope(start + change)
            if margin < 0:
                flipped = start + change
                break
            stride = gradient / gradient.norm() if norm == "l2" else gradient.sign()
            change = change - radius / 10 * stride
            change = change * min(1.0, radius / float(change.norm())) if norm == "l2" else change.clamp(-radius, radius)
            change = (start + change).clamp(0, 1) - start
        if flipped is None:
            low = radius
        else:
            best, high = flipped, radius
    return start if best is None else best


def attacks() -> dict[Norm, dict[str, Attack]]:
    """What is at hand, by norm and name."""
    found: dict[Norm, dict[str, Attack]] = {norm: {"PGD": partial(projected_descent, norm=norm)} for norm in NORMS}
    try:
        import foolbox  # noqa: PLC0415 - it may be missing

        def ddn(pixel: Pixel) -> Tensor:
            model = foolbox.PyTorchModel(pixel.eval(), bounds=(0, 1), device="cpu")
            attack = foolbox.attacks.DDNAttack(steps=STEPS)
            return attack(model, pixel.slope.start, pixel.label, epsilons=None)[0]

        found["l2"]["DDN"] = ddn
    except ImportError as error:
        print(f"foolbox is left out: {error}")
    try:
        drawing: Any = ModuleType("visdom")  # adv-lib imports it to draw curves, which nobody asks for here
        drawing.Visdom = object
        sys.modules.setdefault("visdom", drawing)
        from adv_lib.attacks import alma, fmn  # noqa: PLC0415 - it may be missing

        found["l2"]["ALMA"] = lambda pixel: alma(pixel, pixel.slope.start, pixel.label, num_steps=STEPS, distance="l2")
        found["linf"]["FMN"] = lambda pixel: fmn(pixel, pixel.slope.start, pixel.label, norm=float("inf"), steps=STEPS)
    except ImportError as error:
        print(f"adv-lib is left out: {error}")
    return found


def phantom_pixels(count: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Images and a random pixel of each."""
    random = np.random.default_rng(0)
    for number in range(count):
        image = vessel_phantom(FIRST_SEED + number).image
        row, column = (int(each) for each in random.integers(0, 256, 2))
        yield np.asarray(image, np.float32).reshape(1, *image.shape[-2:]), (row, column)


def scene_pixels(count: int) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """The same of the sample scenes, in turn."""
    random, paths = np.random.default_rng(1), sorted((ROOT / "sample_data" / "scenes" / "test" / "images").iterdir())
    for number in range(count):
        image = read_image(paths[number % len(paths)])
        row, column = (int(random.integers(0, length)) for length in image.shape[1:])
        yield image, (row, column)


def length(change: Tensor, norm: Norm) -> float:
    """The norm of a change."""
    return float(change.norm() if norm == "l2" else change.abs().max())


def peers(
    segmenter: Segmenter, image: np.ndarray, at: tuple[int, int], known: Mapping[str, Attack], norm: Norm
) -> dict[str, float]:
    """The norm that each attack reaches; infinity where it does not flip."""
    prediction = segmenter.predict(image)
    reached = {}
    for name, attack in known.items():
        slope = Slope(segmenter, image, question_about(prediction, at))
        pixel = Pixel(slope, int(prediction.labels[at]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part = attack(pixel).detach()
        reached[name] = length(part - slope.start, norm) if slope.margin(part) < 0 else float("inf")
    return reached


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, default=100, help="Pixels of phantoms.")
    parser.add_argument("--scenes", type=int, default=50, help="Pixels of scenes.")
    parser.add_argument("--compared", type=float, default=1.0, help="Share of them that is compared with the attacks.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = attacks()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; one thread of torch", flush=True)
    for name, count, pixels in (
        ("vessmap", arguments.pixels, phantom_pixels), ("scenes", arguments.scenes, scene_pixels),
    ):  # fmt: skip
        segmenter = load_segmenter(name, "cpu")
        for norm in NORMS:
            flips, seconds, ratios, wins = 0, [], [], dict.fromkeys(known[norm], 0)
            for number, (image, at) in enumerate(pixels(count)):
                learn_field(segmenter, (image.shape[1], image.shape[2]))
                started = time.perf_counter()
                try:
                    found = smallest_change(segmenter, image, at, measure=norm)
                except UserError as error:
                    print(f"  {name} {at}: {error}")
                    continue
                seconds.append(time.perf_counter() - started)
                flips += 1
                if number < arguments.compared * count:
                    reached = peers(segmenter, image, at, known[norm], norm)
                    best = min(reached, key=lambda peer: reached[peer])
                    wins[best] += 1
                    ratios.append(found.size / reached[best])
            line = f"{name:8}{norm:5} flips {flips} of {count}, median {statistics.median(seconds):.2f} s"
            if ratios:
                ordered = sorted(ratios)
                names, late = ", ".join(known[norm]), ordered[int(0.95 * (len(ordered) - 1))]
                best = ", ".join(f"{peer} {times}" for peer, times in wins.items())
                line += (
                    f"; norm / best of {names} on {len(ratios)}: median {statistics.median(ratios):.4f}, 95th "
                    f"percentile {late:.4f}, largest {ordered[-1]:.4f}; the best was {best}"
                )
            print(line, flush=True)


if __name__ == "__main__":
    main()
