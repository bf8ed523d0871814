"""The table of `docs/networks.md`: what became of one network of each family of the catalogue.

    python -m tests.conformance.table                     # makes the whole table, ten minutes
    python -m tests.conformance.table segformer upernet   # prints the lines of some networks

A test makes a few lines anew each day.
"""

import contextlib
import re
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.attribution import gradient
from core.errors import UserError
from core.jacobian.factors import find_statistics
from core.receptive_field import structural_support
from core.receptive_field.support import _Probed, _reach, _WithoutStatistics
from core.segmenter import PromptedMask, Segmenter
from core.segmenter.examination import REFUSALS
from core.segmenter.image_statistics import Statistics
from core.target import Target
from tests.conformance.catalogue import IN_TABLE, REFUSED
from tests.conformance.network import Network
from tests.conformance.reference import reference_rows
from tests.conformance.vision_networks import Then
from tests.jacobian.rows import largest_relative_error, random_image

DOCUMENT = Path(__file__).parents[2] / "docs" / "networks.md"
_LIBRARIES = ("torch", "segmentation_models_pytorch", "timm", "torchvision", "transformers", "monai")
_BEGIN, _END = "<!-- made by `make networks`: -->", "<!-- end of what was made -->"
_HEAD = ("network", "class", "output", "normalisation", "receptive field", "error of a row", "s per row")
_REFUSED_HEAD = ("network", "class", "why it is refused")
_LENGTHS = (256, 1024, 2048)
_LARGE = (384, 384)
_PHASES = 32
"""Neighbouring lines, as each reaches another way in a network with a stride."""
_NORM = re.compile(r"(Batch|Instance|Group|Layer|RMS)Norm")
_REPETITIONS = 5


@dataclass(frozen=True)
class Line:
    """What the table says of a network.

    Attributes:
        name: In the catalogue.
        family: Library and class.
        refusal: The sentence with which it is refused; empty if it is accepted.
        output: How its result is read.
        normalisation: Kinds of its normalisation layers.
        field: Its receptive field.
        error: The largest error of a row in float64, relative to the row's largest entry.
        seconds: For one row in float32.
    """

    name: str
    family: str
    refusal: str = ""
    output: str = ""
    normalisation: str = ""
    field: str = ""
    error: float = 0.0
    seconds: float = 0.0

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in the table."""
        if self.refusal:
            return f"`{self.name}`", f"`{self.family}`", self.refusal.replace("|", "\\|")
        numbers = f"{self.error:.0e}" if self.error else "0", f"{self.seconds:.2g}"
        return f"`{self.name}`", f"`{self.family}`", self.output, self.normalisation, self.field, *numbers


def line_of(name: str, *, timed: bool = True) -> Line:
    """Run a network of the catalogue and see what becomes of it."""
    network = IN_TABLE[name]
    module = network.build() if name in REFUSED else network.make()
    segmenter = network.segmenter(module)
    image = random_image(network.in_channels, *network.sizes[0], seed=1)
    inner = module.network if isinstance(module, Then | PromptedMask) else module
    family = f"{type(inner).__module__.split('.')[0]}.{type(inner).__name__}"
    try:
        segmenter.logits(image)
    except UserError as error:
        return Line(name, family, str(error))
    return Line(
        name,
        family,
        output=_output(segmenter, image),
        normalisation=_normalisation(module),
        field=_field(segmenter, image),
        seconds=_seconds(segmenter, image) if timed else 0.0,
        error=_error(network, module, image),
    )


def committed() -> dict[str, tuple[str, ...]]:
    """The cells of each network's line in the document."""
    lines = re.findall(r"^\| (`.*) \|$", _parts()[1], re.MULTILINE)
    cells = [tuple(re.split(r" \| ", line)) for line in lines]
    return {each[0].strip("`"): each for each in cells}


def write(lines: Iterable[Line]) -> None:
    """Write the table into the document."""
    before, _, after = _parts()
    lines = list(lines)
    accepted = [line.cells for line in lines if not line.refusal]
    refused = [line.cells for line in lines if line.refusal]
    families = {line.family for line in lines if not line.refusal}
    versions = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    text = (
        f"{len(accepted)} networks of {len(families)} classes are explained. Seconds are for one row of an image of "
        f"about 64×64 pixels on a CPU with {threads}; {versions}.\n\n{_table(_HEAD, accepted)}\n\n"
        f"{len(refused)} are refused, each with a sentence that says why:\n\n{_table(_REFUSED_HEAD, refused)}"
    )
    DOCUMENT.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}", encoding="utf-8")


def _parts() -> tuple[str, str, str]:
    """The document before, between and after the marks."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(_BEGIN)
    made, after = rest.split(_END)
    return before, made, after


def _table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *lines))


def _output(segmenter: Segmenter, image: np.ndarray) -> str:
    findings = segmenter.findings()
    words = {"none": "logits", "softmax": "softmax", "sigmoid": "sigmoid"}[findings.activation]
    if findings.num_channels == 1:
        words = "one channel, " + ("a logit" if words == "logits" else words)
    if isinstance(segmenter.module, PromptedMask):
        words = "the mask at a point, a logit"
    if findings.label is not None:
        words = "one of several labels, " + ("a logit" if words == "logits" else words)
    if isinstance(findings.entry, str):
        words += f" at `{findings.entry}`"
    elif findings.entry is not None:
        words += f", entry {findings.entry}"
    if findings.grid.channels_last:
        words += ", classes last"
    if findings.grid.align == "centre":
        return f"{words}, without a border"
    with torch.no_grad():
        result = segmenter._result(torch.from_numpy(image)[None], segmenter.canvas(*image.shape[1:]))
    stride = image.shape[1] / findings.scores(result).shape[-2]
    return words if stride <= 1 else f"{words}, 1/{stride:.0f} of the size"


def _normalisation(module: nn.Module) -> str:
    names = " ".join(base.__name__ for part in module.modules() for base in type(part).__mro__)
    return ", ".join(dict.fromkeys(kind.lower() for kind in sorted(_NORM.findall(names)))) or "none"


def _field(segmenter: Segmenter, image: np.ndarray) -> str:
    size = image.shape[1], image.shape[2]
    field = structural_support(segmenter, size)
    if not field.dense:
        return _extents(segmenter) or f"larger than {_LENGTHS[-1]}"
    if field.reason:
        return f"whole image ({field.reason})"
    found = _statistics(segmenter, image)
    extents = _extents(_WithoutStatistics(segmenter, found)) if found else ""
    return f"{extents} but for {len(found):,} statistics of the image" if extents else "whole image"


def _statistics(segmenter: Segmenter, image: np.ndarray) -> Statistics:
    """Those of a larger image where the network takes one: pooling to a few pixels brings none in a small one."""
    with contextlib.suppress(UserError, *REFUSALS):
        return find_statistics(segmenter, random_image(len(image), *_LARGE))
    return find_statistics(segmenter, image)


def _extents(segmenter: _Probed) -> str:
    """Height and width of the receptive field, from what lines in the middle reach; empty if that is everything."""
    height = _extent(segmenter, 0)
    width = height and _extent(segmenter, 1)
    return f"{height}×{width}" if width else ""


def _extent(segmenter: _Probed, axis: int) -> int | None:
    for length in _LENGTHS:
        probed = length // 2 + np.arange(-_PHASES // 2, _PHASES // 2)
        size = (length, _PHASES) if axis == 0 else (_PHASES, length)
        try:
            with torch.no_grad():
                reached = _reach(segmenter, size, axis)(np.arange(length) == probed[:, None])
        except (UserError, *REFUSALS):  # a network for images of one size, in which all pixels reach all others
            return None
        if not reached[:, [0, -1]].any():
            offsets = np.argwhere(reached) @ (-1, 1) - probed[0]
            return int(offsets.max() - offsets.min()) + 1
    return None


def _seconds(segmenter: Segmenter, image: np.ndarray) -> float:
    target = Target.pixel(image.shape[1] // 2, image.shape[2] // 2)
    seconds = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        gradient(segmenter, image, target)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _error(network: Network, module: nn.Module, image: np.ndarray) -> float:
    """At two corners, at the border and in the middle."""
    height, width = image.shape[1:]
    pixels = [(0, 0), (height - 1, width - 1), (height - 1, width // 3), (height // 2, width // 2)]
    asked = network.class_index, network.space
    module.double().register_forward_pre_hook(lambda _, images: images[0].double())  # all else stays in float32
    segmenter = network.segmenter(module)
    found = np.stack([gradient(segmenter, image, Target.pixel(*pixel, *asked)).values for pixel in pixels])
    true = reference_rows(module, image, network.options, pixels, *asked, network.read)
    return largest_relative_error(found, true)


def main() -> None:
    """Make the table, or print some of its lines."""
    torch.set_num_threads(1)
    names = sys.argv[1:]
    lines = []
    for name in IN_TABLE:
        if not names or any(part in name for part in names):
            lines.append(line_of(name))
            print(*lines[-1].cells, sep=" | ", flush=True)  # noqa: T201 - it is a command
    if not names:
        write(lines)


if __name__ == "__main__":
    main()
